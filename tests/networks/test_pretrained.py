"""ImageNet weights: Lite0's against the original architecture; files, the hub's cache and the hub itself."""

import csv
import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from efficientnet_lite_pytorch import EfficientNet as OriginalEfficientNet
from lab import dfnb
from safetensors.torch import save_file

from dfnb import networks
from dfnb.common.errors import UserError
from dfnb.networks import pretrained

LITE0, B4, TINY = "tf_efficientnet_lite0", "tf_efficientnet_b4.ap_in1k", "test_efficientnet"
PHOTOGRAPHS = Path(__file__).parents[2] / ".." / "shared" / "real-faces"


@pytest.fixture(scope="module")
def lite0() -> timm.models.EfficientNet:
    model = timm.create_model(LITE0)
    pretrained.fill(model, pretrained.find(LITE0))
    return model.eval()


@pytest.fixture(scope="module")
def original() -> OriginalEfficientNet:
    model = OriginalEfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(pretrained.packaged_lite0(), weights_only=True))
    return model.eval()


def scenes(count: int = 4, size: int = 224) -> torch.Tensor:
    """Smooth pictures with edges and 1/f texture, as photographs have, in -1..1."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(count):
        frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) + 1 / size
        noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(3, size, size))) / frequency, s=(size, size))
        picture = 0.5 + 0.15 * noise / noise.std()
        for _ in range(6):
            disc = np.zeros((size, size))
            cv2.circle(disc, tuple(map(int, rng.integers(0, size, 2))), int(rng.integers(10, 70)), 1.0, -1)
            picture += disc * rng.uniform(-0.4, 0.4, (3, 1, 1))
        pictures.append(np.clip(picture, 0, 1) * 2 - 1)
    return torch.tensor(np.array(pictures), dtype=torch.float32)


def assert_same_probabilities(lite0: torch.nn.Module, original: torch.nn.Module, x: torch.Tensor) -> None:
    with torch.inference_mode():
        ours, theirs = lite0(x).softmax(1), original(x).softmax(1)
    assert (ours - theirs).abs().max() < 1e-4
    assert theirs.max() > 0.05  # the network does say something of these pictures


def test_lite0_agrees_with_the_original_architecture_on_scenes(lite0, original) -> None:
    assert_same_probabilities(lite0, original, scenes())


def test_lite0_agrees_with_the_original_architecture_on_photographs(lite0, original) -> None:
    if not (PHOTOGRAPHS / "index.csv").exists():
        pytest.skip("no photographs beside the checkout")
    with open(PHOTOGRAPHS / "index.csv", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)][::20][:6]
    pictures = [cv2.resize(cv2.imread(str(PHOTOGRAPHS / name))[..., ::-1], (224, 224)) for name in names]
    x = torch.tensor(np.array(pictures)).permute(0, 3, 1, 2) / 127.5 - 1
    assert_same_probabilities(lite0, original, x)


def test_wrong_padding_or_normalisation_would_be_seen(lite0, original) -> None:
    """The bound of 1e-4 means something: either mistake moves the probabilities a hundred times as far."""
    padded = timm.create_model("efficientnet_lite0").eval()  # the same network with PyTorch's padding
    padded.load_state_dict(lite0.state_dict())
    x = scenes()
    with torch.inference_mode():
        theirs = original(x).softmax(1)
        assert (padded(x).softmax(1) - theirs).abs().max() > 1e-2
        assert (lite0((x - 0.06) / 0.45).softmax(1) - theirs).abs().max() > 1e-2


def test_build_uses_the_package(lite0) -> None:
    net = networks.build("proposed", "linear", LITE0, pretrained=True, seed=0)
    own = net.backbone.state_dict()
    assert all(torch.equal(tensor, own[k]) for k, tensor in lite0.state_dict().items() if k in own)
    assert pretrained.find(LITE0).source == f"efficientnet-lite0-57934424.pth, sha256 {pretrained.LITE0_SHA256}"


def test_the_packages_file_can_be_named() -> None:
    named = pretrained.find(LITE0, pretrained.packaged_lite0())
    assert named.tensors.keys() == timm.create_model(LITE0).state_dict().keys()


@pytest.mark.parametrize("backbone", [LITE0, TINY])
@pytest.mark.parametrize("folder", [True, False])
def test_timms_published_format(backbone: str, folder: bool, tmp_path: Path) -> None:
    """A state dict with a classifier of 1,000 classes in a safetensors file."""
    _published(backbone, tmp_path / "model.safetensors", folder)


@pytest.mark.slow
def test_timms_published_format_b4(tmp_path: Path) -> None:
    _published(B4, tmp_path / "model.safetensors", folder=True)


def _published(backbone: str, file: Path, folder: bool) -> None:
    model = timm.create_model(backbone)
    save_file(model.state_dict(), file)
    net = networks.build("network1", "linear", backbone, weights=file.parent if folder else file)
    own = net.backbone.state_dict()
    assert all(torch.equal(tensor, own[k]) for k, tensor in model.state_dict().items() if k in own)
    assert len(own) == len(model.state_dict()) - 2


def test_files_without_batch_counters_load(tmp_path: Path) -> None:
    tensors = {k: v for k, v in timm.create_model(TINY).state_dict().items() if "num_batches" not in k}
    save_file(tensors, tmp_path / "x.safetensors")
    assert networks.build("network1", "linear", TINY, weights=tmp_path / "x.safetensors").taps == (5,)


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = timm.create_model(TINY).state_dict()
    cases = {
        "missing": ({k: v for k, v in state.items() if k != "bn2.weight"}, "first bn2.weight"),
        "extra": (state | {"more": torch.zeros(1)}, "first more"),
        "shape": (state | {"bn2.weight": torch.zeros(3)}, r"bn2.weight is \(3,\)"),
        "nan": (state | {"bn2.weight": state["bn2.weight"] * torch.nan}, "bn2.weight is not finite"),
        "other": (timm.create_model("mobilenetv2_050").state_dict(), "missing"),
    }
    for name, (tensors, word) in cases.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(UserError, match=word) as caught:
            networks.build("network1", "linear", TINY, weights=tmp_path / f"{name}.safetensors")
        assert f"{name}.safetensors" in str(caught.value)
    with pytest.raises(UserError, match="no such weights file"):
        pretrained.find(TINY, tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"model\.safetensors: no such"):
        pretrained.find(TINY, tmp_path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "pytorch_model.bin"])
def test_no_other_pickle_is_opened(name: str, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"a": Trap()}, tmp_path / name)
    with pytest.raises(UserError, match="pickle"):
        pretrained.find(LITE0, tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_a_changed_package_file_is_not_opened(tmp_path: Path) -> None:
    data = bytearray(pretrained.packaged_lite0().read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "efficientnet-lite0-57934424.pth").write_bytes(data)
    with pytest.raises(UserError, match="other than the pinned one"):
        pretrained.find(LITE0, tmp_path / "efficientnet-lite0-57934424.pth")


# the hub: a server of our own stands for it, so that the client's real code runs


class Hub(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}  # noqa: RUF012 -- set by the fixture

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        data = self.files.get(self.path)
        self.send_response(404 if data is None else 200)
        if data is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        else:
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if body and data is not None:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The files of a hub on this machine, by path; the client's cache is empty."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Hub.files = {}
    address = f"http://127.0.0.1:{server.server_port}"
    _use_hub(monkeypatch, address, tmp_path / "cache")
    yield Hub.files
    server.shutdown()
    server.server_close()
    thread.join()


def _use_hub(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path) -> None:
    """What HF_ENDPOINT and HF_HUB_CACHE do before the client is imported."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def test_from_the_hub_then_from_its_cache(hub: dict[str, bytes], tmp_path: Path, monkeypatch) -> None:
    model = timm.create_model(TINY)
    save_file(model.state_dict(), tmp_path / "x.safetensors")
    hub["/timm/test_efficientnet.r160_in1k/resolve/main/model.safetensors"] = (tmp_path / "x.safetensors").read_bytes()
    for offline in (False, True):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
        net = networks.build("network1", "linear", TINY, pretrained=True)
        assert torch.equal(net.backbone.conv_stem.weight, model.conv_stem.weight)
        hub.clear()


def test_hub_without_the_file(hub: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match=r"the hub has no model\.safetensors of timm/test_efficientnet"):
        pretrained.find(TINY)


def test_hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use_hub(monkeypatch, "http://127.0.0.1:1", tmp_path)
    with pytest.raises(UserError, match=r"can't be reached.*timm/tf_efficientnet_b4.ap_in1k.*model\.weights"):
        networks.build("proposed", "arcface", B4)


def test_hub_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use_hub(monkeypatch, "http://127.0.0.1:1", tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        pretrained.find(B4)


# checkpoints on the hub


@pytest.fixture
def handed_on(hub: dict[str, bytes], tmp_path: Path) -> dict[str, bytes]:
    """A hub with one of our checkpoints, somebody/net, and with a repository of something else."""
    net = networks.build("plain", "linear", TINY, pretrained=False, seed=0)
    networks.save(net, tmp_path / "c.safetensors", {"domain": "x", "profile": {"model": {"size": 64}}})
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for revision in ("main", "c" * 40):
        hub[f"/somebody/net/resolve/{revision}/model.safetensors"] = (tmp_path / "c.safetensors").read_bytes()
        hub[f"/somebody/other/resolve/{revision}/model.safetensors"] = (tmp_path / "other.safetensors").read_bytes()
    return hub


def test_a_checkpoint_of_the_hub_by_its_revision_then_offline(handed_on, tmp_path, monkeypatch, caplog) -> None:
    pinned, wanted = f"hf://somebody/net@{'c' * 40}", (tmp_path / "c.safetensors").read_bytes()
    assert networks.located(pinned).read_bytes() == wanted
    assert not caplog.records
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    handed_on.clear()
    assert networks.located(Path(pinned)).read_bytes() == wanted  # as the command line gives it, one slash less
    with pytest.raises(UserError, match=r"no copy of somebody/net at v2 in the hub's cache, and HF_HUB_OFFLINE"):
        networks.located("hf://somebody/net@v2")


def test_a_checkpoint_of_the_hub_without_a_commit_says_which_it_was(handed_on, caplog) -> None:
    with caplog.at_level("WARNING"):
        networks.located("hf://somebody/net")
    assert f"to pin it, write hf://somebody/net@{'c' * 40}" in caplog.text


@pytest.mark.parametrize(
    ("name", "word"),
    [("hf://somebody/none", r"the hub has no model\.safetensors of somebody/none"), ("hf://x", "write it as hf://USER"),
     ("hf://some..body/-net", "the hub has no"), ("hf://somebody/other", "no checkpoint of dfnb's")],
)  # fmt: skip
def test_a_checkpoint_that_the_hub_lacks(name, word, handed_on, tmp_path, capsys) -> None:
    ended = dfnb(capsys, "score", name, tmp_path / "c.safetensors")
    assert (ended.status, ended.out, len(ended.complaints)) == (2, "", 1)
    assert re.search(word, ended.err)


def test_a_checkpoint_of_a_hub_out_of_reach(tmp_path, monkeypatch, capsys) -> None:
    _use_hub(monkeypatch, "http://127.0.0.1:1", tmp_path)
    ended = dfnb(capsys, "score", "hf://somebody/net", tmp_path / "x.mp4")
    assert (ended.status, ended.out, len(ended.complaints)) == (2, "", 1)
    assert "the hub can't be reached" in ended.err


def test_model_without_published_weights() -> None:
    with pytest.raises(UserError, match="timm publishes no weights for efficientnet_blur_b0"):
        pretrained.find("efficientnet_blur_b0")
