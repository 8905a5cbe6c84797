"""Networks of other projects, imported: their own packages' logits, where each comes from, files that are none."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from efficientnet_lite_pytorch import EfficientNet as Original
from lab import dfnb
from safetensors.torch import save_file
from torch import Tensor, nn

from dfnb import networks
from dfnb.common import files
from dfnb.common.errors import UserError

TINY = "test_efficientnet"
STATED = {"backbone": TINY, "size": 64, "mean": (0.3, 0.4, 0.5), "std": (0.2, 0.3, 0.1), "fake": 1}


def pictures(count: int, size: int) -> Tensor:
    """Smooth pictures from dark to bright in 0..1, (count, 3, size, size)."""
    coarse = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)
    return smooth * torch.linspace(0.2, 1, count).view(-1, 1, 1, 1)


@torch.no_grad()
def trained(model: nn.Module, images: Tensor) -> nn.Module:
    """The model with the batch statistics of these images, instead of those that leave every picture alike."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean of what is seen
    model.train()(images)
    return model.eval()


@pytest.fixture(scope="module")
def original() -> Original:
    """EfficientNet-B4 as efficientnet_pytorch has it, 706 names."""
    torch.manual_seed(0)
    model = Original.from_name("efficientnet-b4", num_classes=2)
    assert len(model.state_dict()) == 706
    return trained(model, pictures(6, 160))


@pytest.fixture(scope="module")
def sbi(original, tmp_path_factory) -> Path:
    """A file in the layout of SBI's release."""
    file = tmp_path_factory.mktemp("sbi") / "weights.tar"
    torch.save({"model": {f"net.{name}": tensor for name, tensor in original.state_dict().items()}, "epoch": 3}, file)
    return file


@pytest.fixture(scope="module")
def imported(sbi) -> Path:
    checkpoint = sbi.parent / "checkpoint.safetensors"
    networks.convert(sbi, checkpoint, "sbi")
    return checkpoint


@torch.inference_mode()
def ours(network: networks.Network, images: Tensor) -> Tensor:
    """Logits of images in 0..1, normalised as the network asks."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (network.mean, network.std))
    return network((images - mean) / std).logits


def test_sbis_release_gives_the_logits_of_its_own_architecture(original, imported):
    network, images = networks.load(imported), pictures(3, 380)
    with torch.inference_mode():
        theirs = original(images)
    assert (theirs[0] - theirs[-1]).abs().max() > 0.01  # logits change with the image
    found = ours(network, images)
    assert (found - theirs).abs().max() < 1e-4
    assert networks.trained_for(imported) == (380, "imported from SBI's release (research only)")

    def moved(change: Callable[[networks.Network], None]) -> float:
        wrong = networks.load(imported)
        change(wrong)
        return float((ours(wrong, images) - theirs).abs().max())

    def epsilon(wrong: networks.Network) -> None:
        for layer in wrong.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 1e-5

    def padding(wrong: networks.Network) -> None:
        other = timm.create_model("efficientnet_b4", num_classes=0, bn_eps=1e-3).eval()
        other.load_state_dict(wrong.backbone.state_dict())
        wrong.backbone = other

    def normalisation(wrong: networks.Network) -> None:
        wrong.mean, wrong.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    assert min(moved(change) for change in (epsilon, padding, normalisation)) > 5e-4  # each mistake would be seen


def test_deepfakebenchs_network_with_its_first_convolution(tmp_path):
    """Unpadded, and the others padded for 380 px although the input has 256."""
    torch.manual_seed(1)
    theirs = Original.from_name("efficientnet-b4", num_classes=2)
    theirs._conv_stem = nn.Conv2d(3, 48, 3, 2, bias=False)
    theirs = trained(theirs, pictures(4, 160) * 2 - 1)
    state = {f"backbone.efficientnet.{name}": tensor for name, tensor in theirs.state_dict().items()}
    for name in ("weight", "bias"):
        state[f"backbone.last_layer.{name}"] = state.pop(f"backbone.efficientnet._fc.{name}")
    torch.save(state, tmp_path / "effnb4_best.pth")
    networks.convert(tmp_path / "effnb4_best.pth", tmp_path / "c.safetensors", "deepfakebench")
    network, images = networks.load(tmp_path / "c.safetensors"), pictures(2, 256)
    with torch.inference_mode():
        wanted = theirs(images * 2 - 1)
    assert (wanted[0] - wanted[1]).abs().max() > 0.01
    assert (ours(network, images) - wanted).abs().max() < 1e-4
    assert networks.trained_for(tmp_path / "c.safetensors")[0] == 256
    padded = networks.build("plain", "linear", "tf_efficientnet_b4", pretrained=False, normalise=[network.mean] * 2)
    padded.load_state_dict(network.state_dict())
    assert (ours(padded.eval(), images) - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("fake", [0, 1])
@pytest.mark.parametrize("backbone", [TINY, "tf_efficientnet_lite0", "resnet10t", "vit_xsmall_patch16_clip_224"])
def test_timms_classifier_with_stated_input(backbone, fake, tmp_path):
    torch.manual_seed(2)
    images = pictures(4, 64)
    sized = {"img_size": 64} if backbone.startswith("vit") else {}
    theirs = trained(timm.create_model(backbone, num_classes=2, **sized), images)
    file, checkpoint = tmp_path / "weights", tmp_path / "c.safetensors"
    (save_file if fake else torch.save)(theirs.state_dict(), file)
    domain = networks.convert(file, checkpoint, "timm", **(STATED | {"backbone": backbone, "fake": fake}))
    network = networks.load(checkpoint)
    assert (network.mean, network.std) == (STATED["mean"], STATED["std"])
    mean, std = (torch.tensor(STATED[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        wanted = theirs((images - mean) / std)
    assert (wanted[0] - wanted[-1]).abs().max() > 1e-3
    torch.testing.assert_close(ours(network, images)[:, 1], wanted[:, fake], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours(network, images)[:, 0], wanted[:, 1 - fake], rtol=1e-4, atol=1e-5)
    about = networks.metadata(checkpoint)
    assert networks.trained_for(checkpoint) == (64, domain) == (64, about["domain"])
    assert about["imported"]["sha256"] == files.sha256(file)
    assert domain == "imported from a timm network from elsewhere (licence not stated)"


# ---- files and statements that are wrong ----


class Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (os.mkdir, (str(self.file),))


def zipped(file: Path, source: Path) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))


def wrong_files(folder: Path) -> dict[str, str]:
    """Files that are no timm network, and a piece of the line that says so."""
    torch.manual_seed(0)
    state = timm.create_model(TINY, num_classes=2).state_dict()
    nan = state["bn1.weight"] * torch.nan
    made = {
        "architecture": (timm.create_model("mobilenetv2_050", num_classes=2).state_dict(), "missing, first "),
        "missing": ({k: v for k, v in state.items() if k != "bn2.weight"}, "1 tensors are missing, first bn2.weight"),
        "extra": (state | {"more.weight": torch.zeros(1)}, "1 tensors too many, first more.weight"),
        "shape": (state | {"bn2.weight": torch.zeros(3)}, "bn2.weight is (3,), not (256,)"),
        "classes": (timm.create_model(TINY, num_classes=3).state_dict(), "classifier.weight is (3, 256), not (2, 256)"),
        "half": ({k: v.half() for k, v in state.items()}, "is not finite or not torch.float32"),
        "nan": (state | {"bn1.weight": nan}, "bn1.weight is not finite"),
        "number": (state | {"epoch": 3}, "'epoch' is no tensor"),
        "numbered": (state | {3: torch.zeros(1)}, "3 is no tensor with a name"),
        "meta": (state | {"bn1.weight": state["bn1.weight"].to("meta")}, "bn1.weight"),
        "list": (list(state.values()), "no state dict"),
        "trap": ({"a": Trap(folder / "sprung")}, "not opened (UnpicklingError)"),
        "module": (nn.Linear(1, 1), "not opened (UnpicklingError)"),
    }
    for name, (content, _) in made.items():
        torch.save(content, folder / name)
    said = {name: word for name, (_, word) in made.items()}
    torch.save({"a": Trap(folder / "sprung")}, folder / "legacy", _use_new_zipfile_serialization=False)
    (folder / "bare").write_bytes(pickle.dumps(Trap(folder / "sprung")))
    (folder / "text").write_text("hello")
    (folder / "empty").touch()
    (folder / "cut").write_bytes((folder / "extra").read_bytes()[:9000])
    zipped(folder / "zipped", folder / "extra")
    said |= dict.fromkeys(("legacy", "bare", "text", "empty", "cut", "zipped"), "not opened")
    os.mkfifo(folder / "pipe")
    return said | {"pipe": "not an ordinary file", "nowhere": "No such file"}


def test_files_that_are_none_are_named_in_a_line_and_nothing_is_run_or_written(tmp_path, capsys):
    numbers = [word for name in ("mean", "std") for word in (f"--{name}", *map(str, STATED[name]))]
    options = ["--source", "timm", "--backbone", TINY, "--size", 64, *numbers, "--fake", 0]
    for name, words in wrong_files(tmp_path).items():
        before = set(tmp_path.iterdir())
        ended = dfnb(capsys, "import", tmp_path / name, tmp_path / "c.safetensors", *options)
        assert (ended.status, ended.out, len(ended.complaints)) == (2, "", 1), name
        assert words in ended.err, name
        assert str(tmp_path / name) in ended.err
        assert set(tmp_path.iterdir()) == before, name


def test_layouts_of_known_projects_are_named(tmp_path, original):
    state = {f"net.{name}": tensor for name, tensor in original.state_dict().items()}
    without = {name: tensor for name, tensor in state.items() if name != "net._blocks.7._se_reduce.weight"}
    three = state | {"net._fc.weight": torch.zeros(3, 1792), "net._fc.bias": torch.zeros(3)}
    for content, word in (
        (state, "no entry 'model' in it, so not SBI's release"),
        ({"model": {}}, "tensors are missing, first net"),
        ({"model": without}, r"1 tensors are missing, first net\._blocks\.7\._se_reduce\.weight"),
        ({"model": state | {"net.more": torch.zeros(1)}}, r"1 tensors too many, first net\.more"),
        ({"model": three}, r"net\._fc\.\w+ is \(3"),
    ):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(UserError, match=word):
            networks.convert(tmp_path / "w.pth", tmp_path / "c.safetensors", "sbi")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"not DeepfakeBench's .*missing, first backbone\.efficientnet\._blocks"):
        networks.convert(tmp_path / "w.pth", tmp_path / "c.safetensors", "deepfakebench")
    assert not (tmp_path / "c.safetensors").exists()


@pytest.mark.parametrize(
    ("source", "stated", "word"),
    [("mine", {}, "unknown source 'mine'; one of sbi, deepfakebench, timm"), ("sbi", {"size": 64}, "size is known"),
     ("timm", {"backbone": TINY, "size": 64}, "its fake, mean, std too"), ("timm", STATED | {"fake": 2}, "0 or 1"),
     ("timm", STATED | {"size": 8}, "32 to 4096 px"), ("timm", STATED | {"std": (0.0, 1.0, 1.0)}, "normalise"),
     ("timm", STATED | {"mean": (float("nan"), 0.0, 0.0)}, "normalise"), ("timm", STATED | {"backbone": "b99"}, "b99"),
     ("timm", STATED | {"backbone": "hf-hub:a/b"}, "unknown backbone")],
)  # fmt: skip
def test_statements_that_are_wrong(source, stated, word, tmp_path):
    save_file(timm.create_model(TINY, num_classes=2).state_dict(), tmp_path / "w")
    with pytest.raises(UserError, match=word):
        networks.convert(tmp_path / "w", tmp_path / "c.safetensors", source, **stated)
    assert not (tmp_path / "c.safetensors").exists()


@pytest.mark.parametrize(
    "settings",
    [{"normalise": value} for value in ([[0, 0, 0]], [[0, 0], [1, 1]], [[0, 0, "0"], [1, 1, 1]], [1, 2], {"a": 1})]
    + [{"normalise": [[0, 0, 0], [1, 1, 10**400]]}, {"unpadded": ["conv_head9"]}, {"unpadded": ["bn1"]}],
)
def test_settings_that_make_no_network(settings, tmp_path):
    network = networks.build("plain", "linear", TINY, pretrained=False)
    network.settings |= settings
    networks.save(network, tmp_path / "c.safetensors", {})
    with pytest.raises(UserError, match=next(iter(settings))):
        networks.load(tmp_path / "c.safetensors")
