"""What every widget of the notebooks is made of, and whether someone is there to use it."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
from IPython import get_ipython
from IPython.display import display

if TYPE_CHECKING:
    pass


WIDE = {"width": "34em"}


def interactive() -> bool:
    """Whether this cell was run by someone who can answer: JupyterLab takes input, papermill and nbconvert don't."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def offer(kind: type[ipw.Widget], *arguments: Any, **settings: Any) -> None:
    """Make a widget of this kind and show it, where someone can use it (see `interactive`)."""
    if interactive():
        display(kind(*arguments, **settings))


def note(text: str = "") -> ipw.HTML:
    return ipw.HTML(text, layout={"max_width": "min(62em, 100%)"})


def says(text: str) -> str:
    """A line that screen readers read out when it changes."""
    return f'<span role="status" aria-live="polite">{html.escape(text)}</span>'


def heads_row(names: Sequence[str]) -> ipw.HTML:
    cells = "".join(f'<span style="flex:1;text-align:center;font-weight:600">{html.escape(n)}</span>' for n in names)
    return ipw.HTML(
        f'<div style="display:flex">{cells}</div>', layout={"width": "100%", "max_width": f"{len(names) * 14}em"}
    )


def picture_box(cells: float) -> ipw.Image:
    return ipw.Image(format="png", layout={"width": "100%", "max_width": f"{cells * 14}em"})
