"""Where the videos are: the folders and list files of the real sets -> one row for each video.

Every catalogue is a DataFrame with the columns `COLUMNS`:

    path      of the file, str
    dataset   with its compression: "FF++ c23", "Celeb-DF-v2", "FFIW-10K", ...; the embedded benchmark's parts are
              "FF++-like c23", "Celeb-DF-like", "FFIW-like", so that its numbers can't be taken for the real sets'
    video     name, unique inside dataset and split: the method and the file's stem, such as "Deepfakes/033_097"
    label     "real" or "fake", from lists and folders, never from order
    method    what made it: "original", "actors", "Deepfakes", ...; "Celeb-real", "YouTube-real", "Celeb-synthesis"; ...
    group     what is not independent: the target's identity or video
    split     "train", "val", "test" or "all"

and attrs: expected (videos in the whole set, None where no number is known), missing (names of videos that a list
or the official numbering promises and that aren't there), subset (True where the copy isn't whole), sets (the same
for each method). A partial copy is a catalogue of what is there; `title` says "subset" then.
"""

from dfnb.data.catalogues.lists import COLUMNS, IMAGE_SUFFIXES, VIDEO_SUFFIXES, join, links_inside, title
from dfnb.data.catalogues.others import dfdc, dfdc_preview, faces_folder, real_faces
from dfnb.data.catalogues.paper import celeb_df, face_forensics, ffiw
from dfnb.data.catalogues.sets import TEST_SETS

__all__ = [
    "COLUMNS",
    "IMAGE_SUFFIXES",
    "TEST_SETS",
    "VIDEO_SUFFIXES",
    "celeb_df",
    "dfdc",
    "dfdc_preview",
    "face_forensics",
    "faces_folder",
    "ffiw",
    "join",
    "links_inside",
    "real_faces",
    "title",
]
