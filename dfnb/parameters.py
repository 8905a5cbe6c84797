"""The notebooks' parameters: papermill only warns of one a notebook doesn't have."""

import ast
import sys

from dfnb.errors import UserError

KNOWN = {"profile", "overrides"}


def refuse_unknown() -> None:
    """Raises UserError where papermill handed this notebook a parameter it doesn't have.

    Otherwise a paper run could silently be a demo's. Papermill puts the parameters it was given into a cell of their
    own, which starts with "# Parameters"; what is assigned there beside `profile` and `overrides` is named.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    cells = shell.user_ns.get("In", []) if shell else []
    for cell in cells:
        if cell.startswith("# Parameters\n"):
            assigned = {node.id for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Name)}
            unknown = sorted(assigned - KNOWN)
            if unknown:
                raise UserError(f"unknown parameter {', '.join(unknown)}: a notebook takes profile and overrides only")
