"""Videos -> faces: catalogues of the sets, decoding, detection and landmarks, the face store.

Comes in: folders of videos and the sets' own lists. Goes out: a table of videos, then a store of faces, then crops.
Where is what: the sets in `catalogues` (a set to add is an entry of its `sets`), videos and images in `frames`, faces,
masks and crops in `faces` (a detector to add is an entry of `detectors`), faces on disk in `store`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "catalogues": [
            "face_forensics",
            "celeb_df",
            "ffiw",
            "dfdc",
            "dfdc_preview",
            "deepfake_bench",
            "faces_folder",
            "real_faces",
            "TEST_SETS",
        ],
        "frames": ["sample_frames"],
        "detectors": ["DETECTORS"],
        "faces": ["Face", "FaceFinder", "face_mask"],
        "store": ["Coverage", "FaceStore", "StoredFace", "open_store", "prepare"],
    },
)
