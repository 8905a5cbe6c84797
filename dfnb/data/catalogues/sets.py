"""The sets a network is tested on besides FaceForensics++: each is one entry here, and a profile names it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from dfnb.data.catalogues.extracted import deepfake_bench
from dfnb.data.catalogues.others import dfdc, dfdc_preview, faces_folder
from dfnb.data.catalogues.paper import celeb_df, ffiw

TEST_SETS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "celeb-df": celeb_df,
    "ffiw": ffiw,
    "dfdc": dfdc,
    "dfdc-preview": dfdc_preview,
    "deepfakebench": deepfake_bench,
    "folder": faces_folder,
}
"""Name -> what reads the set: a function from its root folder to a catalogue (see `dfnb.data.catalogues`).

The roots of Celeb-DF and FFIW are `data.celeb_df` and `data.ffiw` of a profile, those of the others stand in
`data.more`, such as `more: {dfdc: /data/DFDC}`. In `data.sets` stand any number of further ones by names of a user's
choice, each with its layout: a name of these.
"""

# Further sets go here, as CONTRIBUTING.md shows.
