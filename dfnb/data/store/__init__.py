"""The face store: clips -> faces on disk, read without decoding.

`prepare` fills a folder with one file of raw pixels per video and a manifest; `open` reads it. Training, scoring and
the figures all see faces through the store alone.
"""

from dfnb.data.store.coverage import Coverage
from dfnb.data.store.estimate import Estimate, estimate, require_room
from dfnb.data.store.given import prepare_given, state_given
from dfnb.data.store.prepare import prepare, state
from dfnb.data.store.read import FaceStore, StoredFace, open_store
from dfnb.data.store.verify import Verified, verify

__all__ = [
    "Coverage",
    "Estimate",
    "FaceStore",
    "StoredFace",
    "Verified",
    "estimate",
    "open_store",
    "prepare",
    "prepare_given",
    "require_room",
    "state",
    "state_given",
    "verify",
]
