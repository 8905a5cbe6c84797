"""A file picker for notebook 8: the answer on a video that a reader chooses."""

import html
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import ipywidgets as ipw

from dfnb.common import files
from dfnb.data.catalogues import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from dfnb.plots.widgets import WIDE, note, status

if TYPE_CHECKING:
    from dfnb.own_video.answer import Detector

LARGEST = 7  # megabytes: what comes through the kernel's connection (10 MiB a message) with room to spare


class FilePicker(ipw.VBox):
    """A reader's file: uploaded, dropped into JupyterLab's file list, or its path typed; its answer, and its page.

    folder: whose videos and images are listed and where the page is written; by default the notebook's.
    """

    def __init__(self, detector: "Detector", folder: Path | None = None) -> None:
        self.detector, self.folder = detector, folder or Path.cwd()
        self._page: tuple[str, str] | None = None
        self.upload = ipw.FileUpload(
            accept="video/*,image/*", description=f"pick a file (up to {LARGEST} MB)", layout={"width": "16em"}
        )
        self.path = ipw.Combobox(placeholder="or the path of a file", layout=WIDE)
        self.again = ipw.Button(description="list again", tooltip="after dropping a file into the list on the left")
        self.start = ipw.Button(description="score it", button_style="primary")
        self.keep = ipw.Button(description="write this page", disabled=True)
        self.state, self.section = note(), note()
        warning = note(f"<strong>{html.escape(detector.warning_sentence)}</strong>")
        paths, actions = ipw.HBox([self.path, self.again]), ipw.HBox([self.start, self.keep])
        super().__init__([warning, self.upload, paths, actions, self.state, self.section])
        self.upload.observe(self._score_upload, names="value")
        self.again.on_click(self._list)
        self.start.on_click(self._score_path)
        self.keep.on_click(self._write)
        self._list()

    def _list(self, _: object = None) -> None:
        known = VIDEO_SUFFIXES | IMAGE_SUFFIXES
        self.path.options = sorted(p.name for p in self.folder.iterdir() if p.suffix.lower() in known)

    def _score_path(self, _: object = None) -> None:
        if self.path.value:
            self._score(self.folder / Path(self.path.value).expanduser())

    def _score_upload(self, _: object = None) -> None:
        for file in self.upload.value:
            with TemporaryDirectory() as folder:
                path = Path(folder) / Path(file["name"]).name  # a browser sends no folder; nothing else may either
                path.write_bytes(file["content"])
                self._score(path)

    def _score(self, path: Path) -> None:
        from dfnb.own_video import page

        self.state.value, self.section.value, self._page, self.keep.disabled = status("Scoring ..."), "", None, True
        if not path.is_file():
            self.state.value = status(f"{path.name}: no such file in {self.folder.name}; give its path.")
            return
        answer = self.detector.answer(path)
        section = page.section(answer)
        self._page = (f"{path.name}.html", page.document([section], [answer.scored.row], self.detector))
        self.section.value, self.keep.disabled = section, False
        self.state.value = status(f"{path.name}: done.")

    def _write(self, _: object = None) -> None:
        if self._page:
            name, text = self._page
            files.write_text(self.folder / name, text)
            self.state.value = status(f"Written: {name}, beside this notebook.")
