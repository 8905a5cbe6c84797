"""Executed notebooks -> one page, cards, publishing; the notebooks' widgets.

Comes in: a run and `notebooks/`. Goes out: report.html, figures, results.json; published copies of them.
Where is what: running and publishing in `notebooks`, the page in `page`, cards in `cards`, the index of the
notebooks in `index`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "notebooks": ["NotebookError", "Report", "build", "execute", "find_notebooks", "publish", "result_table"],
    },
)
