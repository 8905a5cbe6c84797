"""The file that marks a folder as the embedded benchmark, and says what made it."""

import json
from importlib import metadata
from pathlib import Path

from dfnb.common import code
from dfnb.common.errors import UserError
from dfnb.profile import Demo

MARKER = "EMBEDDED_BENCHMARK.json"
NOTICE = (
    "Rendered heads, not real people. Made by `dfnb demo` in the folder layouts of FaceForensics++, Celeb-DF-v2 and "
    "FFIW-10K; numbers measured here say nothing about those data sets. FF++-like training videos have no fakes."
)
BUILDING = ".building.json"  # the marker's place while the benchmark is unfinished


# Code -> older code that draws the very same bytes, shown by building with both. Any further change ends it.
SAME: dict[str, tuple[str, ...]] = {
    "4ad5032c637dbc39": ("147da2e9b1e7a09a", "4def960622bd9eba", "e9f6b00112aaf00a", "ec15d525ef942ed7"),
}
# What draws nothing of it: how it is kept on disk, what is blended from it, where its masks are, other forgeries.
NOT_DRAWING = tuple(
    f"benchmark.{name}"
    for name in ("__init__", "builder", "marker", "composites", "ground_truth", "forgeries", "forgery_folder")
)


def stamp_of(settings: Demo, *modules: str) -> dict:
    """All that decides the pixels: settings, and the code that draws. modules: more of it, such as "composites"."""
    drawing = code.digest_of("benchmark", *modules, without=tuple(n for n in NOT_DRAWING if n not in modules))
    return {"settings": settings.model_dump(mode="json"), "code": drawing}


def is_current(out: Path, settings: Demo) -> bool:
    """Whether `build` can take up `out`: it is new, or (part of) the benchmark of these settings and this code.

    Raises UserError where `out` isn't a benchmark's folder, so that a caller who removes the old deletes nothing else.
    """
    markers = [out / name for name in (MARKER, BUILDING) if (out / name).is_file()]
    if not markers:
        check_folder(out, stamp_of(settings))
    try:
        return all(_is_same(json.loads(path.read_text("utf-8")), stamp_of(settings)) for path in markers)
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{markers[0]}: can't be read ({error}); delete {out} and build again") from error


def check_folder(out: Path, stamp: dict) -> None:
    """Raise UserError unless `out` is new, empty, or (part of) the benchmark with this very stamp."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder for the embedded benchmark")
    for name in (MARKER, BUILDING):
        if not (out / name).is_file():
            continue
        try:
            old = json.loads((out / name).read_text(encoding="utf-8"))
            before, _ = old["settings"], old["code"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{out / name}: can't be read ({error!r}); delete {out} and build again") from error
        now = stamp["settings"]
        changed = [f"{key} {before.get(key)} -> {now.get(key)}" for key in now if before.get(key) != now.get(key)]
        if changed:
            raise UserError(f"{out}: holds a benchmark of other settings ({', '.join(changed)}); use another folder")
        if not _is_same(old, stamp):
            raise UserError(f"{out}: was built by another version of the code; delete it or use another folder")
        return
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty and not an embedded benchmark; use another folder")


def versions() -> dict[str, str]:
    names = ("dfnb", "anny", "warp-lang", "numpy", "scipy", "opencv-python-headless", "av")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a checkout that isn't installed
            found[name] = "not installed"
    return found


def _is_same(marker: dict, stamp: dict) -> bool:
    """Whether a benchmark with this marker is what the code and settings of a stamp make."""
    code_now = stamp["code"]
    same_code = marker.get("code") in (code_now, *SAME.get(code_now, ()))
    return same_code and marker.get("settings") == stamp["settings"]
