"""Executed notebooks -> one page; cards; publishing; the notebooks' sliders.

Comes in: a run and `notebooks/`. Goes out: report.html, figures, results.json; published copies of them.
Public: running notebooks in `notebooks`, the report of a run in `building`, its HTML in `page`, publishing in
`publishing` (index of the notebooks in `index`, model and data card in `cards`), sliders in `widgets`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "building": ["Report", "build"],
        "notebooks": ["NotebookError", "execute", "find_notebooks"],
        "publishing": ["publish", "result_table"],
    },
)
