"""One style for figures, diagrams, tables and pages; labels and colours of the networks.

Comes in: tables, pictures, a run. Goes out: a `Plot` (figure, numbers, alt text), shown and kept by `show` and `table`.
Where is what: style and labels in `style`, curves in `charts`, faces in `pictures`, schemes in `diagrams`, the
report's tables in `tables`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "style": ["Plot", "look", "show", "table"],
        "widgets": ["offer"],
    },
)
