"""A file picker for notebook 8: the answer on a video that a reader chooses."""

import html
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import ipywidgets as ipw

from dfnb.common import files
from dfnb.data.catalogues import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from dfnb.plots.widgets import WIDE, note, says

if TYPE_CHECKING:
    from dfnb.own_video.answer import Detector


LARGEST = 7  # megabytes: what comes through the kernel's connection (10 MiB a message) with room to spare


class OwnVideo(ipw.VBox):
    """A file of the reader's own: picked, dropped into JupyterLab's file list, or typed; the answer, and its page.

    folder: whose videos and images are offered; the notebook's own folder unless told. The page is written there.
    """

    def __init__(self, detector: "Detector", folder: Path | None = None) -> None:
        from dfnb.own_video import answer

        self.detector, self.folder = detector, folder or Path.cwd()
        self.upload = ipw.FileUpload(accept="video/*,image/*", description=f"pick a file (up to {LARGEST} MB)")
        self.upload.layout.width = "16em"
        self.path = ipw.Combobox(placeholder="or the path of a file", layout=WIDE)
        self.again = ipw.Button(description="list again", tooltip="after dropping a file into the list on the left")
        self.look = ipw.Button(description="look at it", button_style="primary")
        self.keep = ipw.Button(description="write this page", disabled=True)
        self.said, self.shown = note(), note()
        self._page: tuple[str, str] | None = None
        warning = f"<strong>{html.escape(answer.spoken(detector.warning))}</strong>" if detector.warning else ""
        super().__init__(
            [
                note(warning), self.upload, ipw.HBox([self.path, self.again]), ipw.HBox([self.look, self.keep]),
                self.said, self.shown,
            ]
        )  # fmt: skip
        self.upload.observe(self._uploaded, names="value")
        self.again.on_click(self._list)
        self.look.on_click(self._typed)
        self.keep.on_click(self._write)
        self._list()

    def _list(self, _: object = None) -> None:
        known = VIDEO_SUFFIXES | IMAGE_SUFFIXES
        self.path.options = sorted(p.name for p in self.folder.iterdir() if p.suffix.lower() in known)

    def _typed(self, _: object = None) -> None:
        if self.path.value:
            self._answer(self.folder / Path(self.path.value).expanduser())

    def _uploaded(self, _: object = None) -> None:
        for file in self.upload.value:
            with TemporaryDirectory() as folder:
                path = Path(folder) / Path(file["name"]).name  # a browser gives no folder; nobody else may
                path.write_bytes(file["content"])
                self._answer(path)

    def _answer(self, path: Path) -> None:
        from dfnb.own_video import answer

        self.said.value, self.shown.value, self._page, self.keep.disabled = says("Looking ..."), "", None, True
        if not path.is_file():
            self.said.value = says(f"{path.name}: no such file in {self.folder.name}; give its path.")
            return
        found = self.detector.look_at(path)
        section = answer.section(found)
        self.shown.value = section
        self._page = (f"{path.name}.html", answer.document([section], [found.scored.row], self.detector))
        self.keep.disabled = False
        self.said.value = says(f"{path.name}: done.")

    def _write(self, _: object = None) -> None:
        if self._page:
            name, text = self._page
            files.write_text(self.folder / name, text)
            self.said.value = says(f"Written: {name}, beside this notebook.")
