"""`dfnb bench`: how fast every stage is on this machine, against yardsticks measured in the same run.

`report` is the command, `run` measures, `table` holds, draws and compares the result. `growth` says what more videos
cost, `ways` what other ways of doing the same would, and `agreement` whether the fast ways say what the plain ones do.
"""

from dfnb.speed import growth, table
from dfnb.speed.whole import report, run

__all__ = ["growth", "report", "run", "table"]
