"""Other backbones than EfficientNet: taps, weighting and pooling recomputed, timm's own numbers, what learns, files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from dfnb import networks
from dfnb.common.errors import UserError
from dfnb.networks import network, pretrained

# a small one of each family, its size, the Blocks that proposed and network2 tap besides the last, and the last
FAMILIES = {
    "resnet10t": (64, 4, 3, 5), "convnext_atto": (64, 3, 2, 4), "regnetx_002": (64, 4, 3, 5),
    "mobilenetv3_small_050": (64, 4, 3, 5), "swin_tiny_patch4_window7_224": (64, 3, 2, 4),
    "vit_tiny_patch16_224": (64, 9, 6, 12), "vit_xsmall_patch16_clip_224": (64, 8, 5, 10),
    "vit_small_patch14_dinov2": (70, 9, 6, 12), "vit_tiny_patch16_dinov3_qkvb": (64, 9, 6, 12),
    "eva02_tiny_patch14_224": (70, 9, 6, 12),
}  # fmt: skip
VIT = "vit_tiny_patch16_224"
TOKENS = [name for name in FAMILIES if name.startswith(("vit", "eva"))]
# names of norms by convention, read by eye from timm's models
NORMS = {
    "resnet10t": ("bn", "conv1.1.", "conv1.4.", "downsample.2."), "convnext_atto": ("norm", "stem.1.", "downsample.0."),
    VIT: ("norm",), "vit_xsmall_patch16_clip_224": ("norm",), "eva02_tiny_patch14_224": ("norm",),
}  # fmt: skip


def made(backbone: str, variant: str = "proposed", head: str = "arcface", **settings: object) -> networks.Network:
    size = settings.pop("size", FAMILIES[backbone][0])
    return networks.build(variant, head, backbone, pretrained=False, seed=0, size=size, **settings)


def images(backbone: str, count: int = 3) -> Tensor:
    side = FAMILIES[backbone][0]
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def timms(backbone: str, **settings: object) -> nn.Module:
    """timm's own model for the same size."""
    size = {"img_size": FAMILIES[backbone][0]} if timm.get_pretrained_cfg(backbone).fixed_input_size else {}
    return timm.create_model(backbone, **size, **settings).eval()


@pytest.mark.parametrize("backbone", FAMILIES)
def test_plain_is_timms_own_model(backbone: str) -> None:
    net, reference = made(backbone, "plain", "linear").eval(), timms(backbone, num_classes=2)
    missing, extra = reference.load_state_dict(net.backbone.state_dict(), strict=False)
    assert (sorted(missing), extra) == (sorted(missing)[:2], [])  # of a classifier: weight and bias
    reference.get_classifier().load_state_dict(net.head.state_dict())
    with torch.no_grad():
        logits = net(images(backbone)).logits
        torch.testing.assert_close(logits, reference(images(backbone)), rtol=1e-5, atol=1e-6)
    assert (logits[0] - logits[1]).abs().max() > 2e-5  # it tells pictures apart


@pytest.mark.parametrize("backbone", FAMILIES)
def test_output_recomputed_by_hand(backbone: str) -> None:
    """Taps caught by hooks on the modules that timm's `feature_info` names; weighting with loops over cells."""
    net = made(backbone, "network2", "linear").eval()
    _, _, early, last = FAMILIES[backbone]
    assert net.taps == (early, last)
    model, x = net.backbone, images(backbone)
    caught: dict[int, Tensor] = {}
    for tap in net.taps:
        place = model.feature_info[tap - 1]["module"]
        model.get_submodule(place).register_forward_hook(lambda _, __, out, tap=tap: caught.update({tap: out.clone()}))
    with torch.no_grad():
        out = net(x)
        final = model.forward_features(x)
        cells = out.attention
        maps = {tap: as_map(backbone, found, cells.shape[-1]) for tap, found in caught.items()}
        torch.testing.assert_close(cells, net.attention.logits(maps[last]).sigmoid())
        side = maps[early].shape[-1]
        sized = F.interpolate(cells, (side, side), mode="bilinear", align_corners=False)
        tapped = torch.stack([maps[early][:, :, r, c] * sized[:, :, r, c] for r in range(side) for c in range(side)])
        weighted, side = final.clone(), cells.shape[-1]
        prefix = final.shape[1] - side * side
        for row in range(side):
            for column in range(side):
                if backbone in TOKENS:
                    weighted[:, prefix + row * side + column] *= cells[:, :, row, column]
                elif backbone.startswith("swin"):
                    weighted[:, row, column] *= cells[:, :, row, column]
                else:
                    weighted[:, :, row, column] *= cells[:, :, row, column]
        vectors = [tapped.mean(0), model.forward_head(weighted, pre_logits=True)]
        if model.__dict__.get("global_pool") == "token":
            torch.testing.assert_close(vectors[1], final[:, 0])  # the class token, as it is
            vectors.append(weighted[:, prefix:].mean(1))
        embedding = net.norm(torch.cat(vectors, 1))
    torch.testing.assert_close(out.embedding, embedding, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.logits, net.head(embedding), rtol=1e-4, atol=1e-5)
    assert out.attention.shape == (3, 1, side, side)
    assert side * model.feature_info[-1]["reduction"] in range(FAMILIES[backbone][0], FAMILIES[backbone][0] + 32)


def as_map(backbone: str, found: Tensor, side: int) -> Tensor:
    """A module's own output as (B, C, h, w)."""
    if backbone in TOKENS:
        patches = found[:, -side * side :]
        return patches.reshape(len(found), side, side, -1).permute(0, 3, 1, 2)
    return found.permute(0, 3, 1, 2) if backbone.startswith("swin") else found


@pytest.mark.parametrize("backbone", FAMILIES)
def test_taps_by_resolution_depth_and_block(backbone: str) -> None:
    _, one, two, last = FAMILIES[backbone]
    for variant, by_resolution, by_block in (
        ("network1", (last,), (last,)),
        ("proposed", (one, last), (last - 1, last)),
        ("network2", (two, last), (last - 2, last)),
    ):
        assert network.taps(backbone, variant, "resolution") == by_resolution
        assert network.taps(backbone, variant, "block") == by_block


def test_a_vit_is_tapped_at_the_quarters_of_its_depth() -> None:
    with torch.device("meta"):
        for name, depth in (("vit_large_patch14_clip_quickgelu_224.openai", 24), ("vit_so400m_patch14_siglip_224", 27)):
            backbone = timm.create_model(name, num_classes=0)
            assert len(backbone.blocks) == depth
            quarters = [-(-depth * k // 4) for k in (2, 3, 4)]
            assert network.taps_of(backbone, "proposed", "resolution") == tuple(quarters[1:])
            assert network.taps_of(backbone, "network2", "resolution") == (quarters[0], quarters[2])


@pytest.mark.parametrize("backbone", ["resnet10t", VIT])
def test_networks_of_one_seed_start_alike_and_plain_norm_is_network1_without_attention(backbone: str) -> None:
    first, other, norm = made(backbone, "network1"), made(backbone), made(backbone, "plain-norm")
    for name, tensor in first.state_dict().items():
        if name.startswith(("backbone", "attention")):
            assert torch.equal(other.state_dict()[name], tensor)
    bare = made(backbone, "network1", attention=False)
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), norm.parameters(), strict=True))
    assert torch.equal(bare.eval()(images(backbone)).logits, norm.eval()(images(backbone)).logits)


# what learns


def expected_to_learn(net: networks.Network, backbone: str, tune: str) -> set[str]:
    names = {name for name, _ in net.named_parameters()}
    own = {name for name in names if not name.startswith("backbone.")}
    if tune == "head":
        return own
    return names if tune == "all" else own | {name for name in names if any(part in name for part in NORMS[backbone])}


@pytest.mark.parametrize("tune", ["all", "norms", "head"])
@pytest.mark.parametrize("backbone", NORMS)
def test_gradients_are_where_they_should_be_and_nowhere_else(backbone: str, tune: str) -> None:
    net = made(backbone)
    net.learn(tune)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    target = torch.tensor([0, 1, 0])
    F.cross_entropy(net.train()(images(backbone), target).logits, target).backward()
    reached = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    given = {name for name, p in net.named_parameters() if p.grad is not None}
    learning = expected_to_learn(net, backbone, tune)
    assert given == learning
    # keys have no gradient by their bias (a shift of all scores alike), and zero-initialised norms stop their branch
    assert {name for name in learning - reached if "qkv.bias" not in name and "k_proj" not in name} <= dead(net)
    assert {name for name in learning if not name.startswith("backbone.")} <= reached
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name in changed if name in dict(net.named_parameters())} <= learning
    statistics = {name for name in changed - learning if name.startswith("backbone.")}
    assert bool(statistics) is (backbone == "resnet10t" and tune != "head")


def dead(net: networks.Network) -> set[str]:
    """Parameters before a scale of zero, which timm gives the last norm of a residual at the start."""
    found = set()
    for name, module in net.named_modules():
        last = getattr(module, "bn2", None) or getattr(module, "bn3", None)
        if isinstance(last, nn.Module) and not last.weight.abs().sum() > 0:
            found |= {f"{name}.{part}" for part, _ in module.named_parameters() if "downsample" not in part}
    return found


def test_a_frozen_backbone_stays_in_eval_mode() -> None:
    net = made("resnet10t", drop_path_rate=0.5)
    net.learn("head")
    assert not net.eval().train().backbone.training
    assert net.training
    assert net.norm.training
    net.learn("norms")
    assert net.backbone.training
    with pytest.raises(UserError, match="unknown tune 'some'"):
        net.learn("some")
    with torch.device("meta"):
        bare = networks.build("plain", "linear", "vgg11", pretrained=False)
    with pytest.raises(UserError, match=r"train\.tune is norms, and vgg11 has none"):
        bare.learn("norms")


# sizes


@pytest.mark.parametrize(
    ("backbone", "size", "words"),
    [(VIT, 225, "multiples of 16 px, not 225: set model.size to 224 or 240"),
     ("vit_small_patch14_dinov2", 64, "multiples of 14 px, not 64: set model.size to 56 or 70"),
     (VIT, "64", "size '64': the side of the input is a whole number"), (VIT, 1 << 20, "at most 4096")],
)  # fmt: skip
def test_a_size_that_is_no_whole_number_of_patches_is_named(backbone: str, size: int, words: str) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=words):
        made(backbone, size=size)


def test_images_of_another_size_are_refused() -> None:
    net = made(VIT).eval()
    with pytest.raises(ValueError, match="96 x 96 px don't fit: the backbone takes 64 px alone"):
        net(torch.zeros(2, 3, 96, 96))
    with torch.device("meta"):
        assert made(VIT, size=None).side == 224  # timm's own
        assert made("resnet10t").side is None


def test_a_model_without_stochastic_depth() -> None:
    with torch.device("meta"):
        assert networks.build("proposed", "linear", "vgg11", pretrained=False).taps == (5, 6)
        with pytest.raises(UserError, match=r"vgg11.*drop path 0\.1"):
            networks.build("proposed", "linear", "vgg11", pretrained=False, drop_path_rate=0.1)


# files


@pytest.mark.parametrize("backbone", ["convnext_atto", VIT, "vit_tiny_patch16_dinov3_qkvb", "eva02_tiny_patch14_224"])
def test_checkpoint_gives_the_same_network_back(backbone: str, tmp_path: Path) -> None:
    net = made(backbone).eval()
    networks.save(net, tmp_path / "x.safetensors", {"domain": "real footage"})
    state = torch.get_rng_state()
    back = networks.load(tmp_path / "x.safetensors")
    assert torch.equal(torch.get_rng_state(), state)
    assert (back.taps, back.settings, back.side) == (net.taps, net.settings, net.side)
    with torch.no_grad():
        assert torch.equal(back(images(backbone)).logits, net(images(backbone)).logits)
    assert networks.describe(back) == networks.describe(net)


@pytest.mark.parametrize(
    "backbone",
    ["mobilenetv3_small_050", "convnext_atto", "resnet10t", "vit_xsmall_patch16_clip_224", "vit_small_patch14_dinov2",
     "vit_tiny_patch16_dinov3_qkvb", "eva02_tiny_patch14_224"],
)  # fmt: skip
def test_published_weights_are_what_timm_itself_makes_of_the_file(backbone: str, tmp_path: Path) -> None:
    """Of a model at its own size and with its classifier, resampled to a smaller input."""
    torch.manual_seed(3)
    published = timm.create_model(backbone, num_classes=7).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in published.items()}, tmp_path / "model.safetensors")
    overlay = {"file": str(tmp_path / "model.safetensors"), "num_classes": 7}
    reference = timms(backbone, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0).state_dict()
    net = networks.build(
        "plain", "linear", backbone, weights=tmp_path / "model.safetensors", size=FAMILIES[backbone][0]
    )
    own = net.backbone.state_dict()
    assert list(own) == list(reference)
    assert all(torch.equal(own[name], tensor) for name, tensor in reference.items())
    assert net.origin.startswith(f"model.safetensors of {backbone}, sha256")


@pytest.mark.parametrize("change", [lambda name: f"x.{name}", lambda name: name.replace("blocks.1.", "blocks.99.")])
def test_weights_of_another_model_are_named(change: Callable[[str], str], tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file({change(name): tensor for name, tensor in timms(VIT).state_dict().items()}, file)
    with pytest.raises(UserError, match=r"x\.safetensors.*: no weights of this backbone: \d+ tensors are missing"):
        networks.build("plain", "linear", VIT, weights=file, size=64)
    with pytest.raises(UserError, match="timm publishes no weights for vit_base_patch16_xp_224"):
        pretrained.find("vit_base_patch16_xp_224")
