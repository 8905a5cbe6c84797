"""The notebooks' parameters: papermill only warns of one a notebook doesn't have."""

import ast
import itertools
import sys

from dfnb.common.errors import UserError

KNOWN = {"profile", "overrides", "rebuild"}


def refuse_unknown() -> None:
    """Raises UserError where papermill handed this notebook a parameter it doesn't have.

    Otherwise a paper run could silently be a demo's. Papermill puts the parameters it was given into a cell of their
    own, which starts with "# Parameters", right after the one with the notebook's own: what is assigned there and not
    in the cell before is named.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    cells = shell.user_ns.get("In", []) if shell else []
    for before, cell in itertools.pairwise(["", *cells]):
        if cell.startswith("# Parameters\n"):
            known = KNOWN | _assigned(before)
            unknown = sorted(_assigned(cell) - known)
            if unknown:
                raise UserError(
                    f"unknown parameter {', '.join(unknown)}: this notebook takes {', '.join(sorted(known))} only"
                )


def _assigned(cell: str) -> set[str]:
    """Names that a cell of parameters assigns; none where it is anything else, such as a cell of magics."""
    try:
        lines = ast.parse(cell).body
    except SyntaxError:
        return set()
    targets = [line.targets for line in lines if isinstance(line, ast.Assign)]
    return {name.id for group in targets for name in group if isinstance(name, ast.Name)}
