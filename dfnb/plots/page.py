"""Pages that open offline: their common frame `page.html.j2` (head, policy, style), and how templates are filled."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent


def render(template: Path, **values: Any) -> str:
    """Fill a Jinja template, which may extend `page.html.j2` and include files of its own folder.

    Every value is escaped, unless the template calls it `safe`. Raises jinja2.UndefinedError where a value is missing.
    """
    return _environment(template.parent).get_template(template.name).render(values)


@cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
