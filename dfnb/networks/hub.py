"""Files of the Hugging Face hub, from its cache where that has them; and where a checkpoint lies, there or on disk."""

import logging
import os
import re
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from dfnb.common import files
from dfnb.common.errors import UserError

log = logging.getLogger(__name__)
HUB_FILE = "model.safetensors"  # timm's published format, and the name of a checkpoint that was handed on
HUB_SECONDS = 10.0  # how long to wait for the hub's first answer


def located(checkpoint: str | os.PathLike[str]) -> Path:
    """The file of a checkpoint: itself, the one in a folder that `dfnb export` wrote, or the hub's.

    checkpoint: a path, or hf://USER/NAME@REVISION for a repository that holds such a folder. Where the revision is no
    commit, which alone stays what it is, a warning says the one that was read.
    Raises UserError where the hub's file can't be had.
    """
    path = Path(checkpoint)
    if path.parts[:1] != ("hf:",):
        return path / HUB_FILE if path.is_dir() else path
    found = re.fullmatch(r"hf:/{1,2}([^/@]+/[^/@]+)(?:@(.+))?", path.as_posix())  # Path joins the slashes
    if found is None:
        raise UserError(f"{checkpoint}: write it as hf://USER/NAME@REVISION")
    repository, revision = found.groups()
    what = f"copy of {repository}" + (f" at {revision}" if revision else "")
    remedy = "check its name, or download the repository where there is a network and give the folder"
    file = fetch(repository, what, remedy, revision)
    if not re.fullmatch("[0-9a-f]{40}", revision or ""):
        log.warning("%s isn't pinned; to pin it, write hf://%s@%s", repository, repository, file.parent.name)
    return file


def fetch(repository: str, what: str, remedy: str, revision: str | None = None) -> Path:
    """The repository's model.safetensors, from the hub's cache where that has it; else downloaded.

    what, remedy: for errors. The hub is tried once before its client is used, which would retry for minutes where there
    is no network. HF_HUB_OFFLINE, HF_HUB_CACHE, HF_ENDPOINT and the proxies of the environment are honoured.
    """
    try:
        cached = huggingface_hub.try_to_load_from_cache(repository, HUB_FILE, revision=revision)
        if isinstance(cached, str):
            return _as_stated(Path(cached))
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise UserError(f"no {what} in the hub's cache, and HF_HUB_OFFLINE is set; {remedy}")
        if not _answers(huggingface_hub.hf_hub_url(repository, HUB_FILE, revision=revision)):
            raise UserError(f"no {what} in the hub's cache, and the hub can't be reached; {remedy}")
        return _as_stated(Path(huggingface_hub.hf_hub_download(repository, HUB_FILE, revision=revision)))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = type(error).__name__
        raise UserError(f"the hub has no {HUB_FILE} of {repository} for us ({reason}); {remedy}") from error


def _as_stated(file: Path) -> Path:
    """A file of the hub's cache, checked against the SHA-256 that the hub stated: the cache names its content by it."""
    stated = file.resolve().stem
    if re.fullmatch("[0-9a-f]{64}", stated) and files.sha256(file) != stated:
        raise UserError(f"{file.resolve()}: not what the hub sent (its sha256 differs); delete it, to fetch it again")
    return file


def _answers(url: str) -> bool:
    """Whether a server answers at all, be it with an error: the client then says which."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=HUB_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # a server answers; the client has its own certificates
    except OSError:
        return False
