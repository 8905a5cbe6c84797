"""`dfnb bench`: how fast every stage is on this machine, against yardsticks measured in the same run.

Comes in: nothing. Goes out: a table, a row a stage, with its picture, and what got slower than in an earlier table.
Where is what: what is timed, and what it is compared with, in `stages`; timing, table and comparison in `bench`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bench": ["compare", "read", "report", "run"],
    },
)
