"""Showing widgets in notebooks only where someone can use them, and what they share."""

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as ipw
from IPython import get_ipython
from IPython.display import display

WIDE = {"width": "34em"}


def interactive() -> bool:
    """Whether someone can use a widget of this cell: JupyterLab accepts input, papermill and nbconvert don't."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def offer(make: Callable[..., ipw.Widget], *arguments: Any, **settings: Any) -> None:
    """Make a widget and show it, where someone can use it (see `interactive`)."""
    if interactive():
        display(make(*arguments, **settings))


def dropdown(description: str, options: Any, value: Any = None) -> ipw.Dropdown:
    """A labelled list to choose from. options: values, or (text, value); value: chosen first, by default the first."""
    chosen = {} if value is None else {"value": value}
    return ipw.Dropdown(description=description, options=options, layout=WIDE, **chosen)


def with_output(draw: Callable[..., None], *controls: ipw.Widget, **arguments: ipw.Widget) -> ipw.VBox:
    """Controls, and below them what `draw` displays; it is called anew whenever one of `arguments` changes.

    draw: gets the values of `arguments` by name. controls: as they stand above; by default, the arguments.
    """
    return ipw.VBox([*(controls or arguments.values()), ipw.interactive_output(draw, arguments)])


def note(text: str = "") -> ipw.HTML:
    """A place for HTML as wide as the notebook's text."""
    return ipw.HTML(text, layout={"max_width": "min(62em, 100%)"})


def status(text: str) -> str:
    """A line that screen readers announce when it changes."""
    return f'<span role="status" aria-live="polite">{html.escape(text)}</span>'
