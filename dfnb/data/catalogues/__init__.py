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

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "lists": ["COLUMNS", "IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "join", "links_inside", "title"],
        "extracted": ["deepfake_bench"],
        "gathered": ["gather", "gathered_in", "landmarks_beside"],
        "others": ["dfdc", "dfdc_preview", "faces_folder", "real_faces"],
        "paper": ["celeb_df", "face_forensics", "ffiw"],
        "sets": ["TEST_SETS"],
    },
)
