"""The networks: taps, shapes, the weighting by the map recomputed by hand, gradients, precision, checkpoints."""

import json
import pickle
import struct
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load, save_file
from torch import nn

from dfnb import networks
from dfnb.common.errors import UserError
from dfnb.networks import network
from dfnb.networks.checkpoint import FORMAT

LITE0, B4, TINY = "tf_efficientnet_lite0", "tf_efficientnet_b4.ap_in1k", "test_efficientnet"
VARIANTS = ("network1", "network2", "proposed")


def tiny(variant: str = "proposed", **settings: object) -> networks.Network:
    """timm's smallest EfficientNet, 5 Blocks, from random weights."""
    return networks.build(variant, **{"backbone": TINY, "pretrained": False, "seed": 0, "head": "arcface"} | settings)


def images(count: int = 4, size: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def part_sizes(net: nn.Module) -> dict[str, int]:
    return {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}


@pytest.mark.parametrize(("backbone", "channels"), [(B4, (56, 160, 272, 448)), (LITE0, (40, 112, 192, 320))])
def test_tapped_blocks_and_channels(backbone: str, channels: tuple[int, ...]) -> None:
    by_block = dict(zip((3, 5, 6, 7), channels, strict=True))
    with torch.device("meta"):
        for reading, expected in (
            ("resolution", {"network1": (7,), "proposed": (5, 7), "network2": (3, 7)}),
            ("block", {"network1": (7,), "proposed": (6, 7), "network2": (5, 7)}),
        ):
            for variant, taps in expected.items():
                net = networks.build(variant, "linear", backbone, pretrained=False, tap_reading=reading)
                assert net.taps == taps
                last = timm.create_model(backbone).num_features
                assert net.head.in_features == sum(by_block[tap] for tap in taps[:-1]) + last
                assert net.attention.conv1.in_channels == by_block[7]


@pytest.mark.parametrize("backbone", [B4, LITE0, TINY, "tf_efficientnetv2_s", "mixnet_s", "efficientnet_x_b3"])
def test_taps_are_the_last_blocks_of_their_resolutions(backbone: str) -> None:
    """Against a dry run on shapes alone: nothing about strides or channels is taken on trust."""
    with torch.device("meta"):
        net = networks.build("network2", "linear", backbone, pretrained=False)
        blocks = len(net.backbone.blocks)
        maps = net.backbone.forward_intermediates(
            torch.empty(1, 3, 256, 256), indices=list(range(blocks + 1)), extra_blocks=True, intermediates_only=True
        )
    sides = [m.shape[-1] for m in maps]
    last_of_side = sorted({side: block for block, side in enumerate(sides)}.values())
    assert net.taps == (last_of_side[-3], last_of_side[-1])
    assert network.taps_of(net.backbone, "proposed", "resolution") == tuple(last_of_side[-2:])
    assert [network.channels_of(net.backbone, k) for k in range(1, blocks + 1)] == [m.shape[1] for m in maps[1:]]


@pytest.mark.parametrize("head", ["arcface", "linear"])
def test_the_three_networks_differ_in_taps_alone(head: str) -> None:
    nets = {variant: tiny(variant, head=head) for variant in VARIANTS}
    assert len({net.taps for net in nets.values()}) == 3
    first = nets["network1"]
    for net in nets.values():
        assert [type(m) for m in net.modules()] == [type(m) for m in first.modules()]
        own = net.state_dict()
        for name, tensor in first.state_dict().items():  # one seed: backbone and branch start alike
            if name.startswith(("backbone", "attention")):
                assert torch.equal(own[name], tensor)
        extra = sum(network.channels_of(net.backbone, tap) for tap in net.taps[:-1])
        difference = {name: size - part_sizes(first)[name] for name, size in part_sizes(net).items()}
        # a channel of the vector: two weights of the head, scale and shift of the batch norm
        assert difference == {"backbone": 0, "attention": 0, "norm": 2 * extra, "head": 2 * extra}
        assert {k: v for k, v in net.settings.items() if k != "variant"} == {
            k: v for k, v in first.settings.items() if k != "variant"
        }


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("attention", [True, False])
def test_output_recomputed_by_hand(variant: str, attention: bool) -> None:
    """Block by Block, with loops for the weighting and the averages, in float64."""
    net = tiny(variant, attention=attention, head="linear").double().eval()
    x = images().double()
    out = net(x)
    backbone = net.backbone
    feature, outputs = backbone.bn1(backbone.conv_stem(x)), {}
    for number, block in enumerate(backbone.blocks, start=1):
        feature = block(feature)
        outputs[number] = feature
    vectors = []
    weight = net.attention(feature) if attention else torch.ones_like(feature[:, :1])
    for tap in net.taps:
        side = outputs[tap].shape[-1]
        weighted = outputs[tap].clone()
        mine = F.interpolate(weight, (side, side), mode="bilinear", align_corners=False)
        for row in range(side):
            for column in range(side):
                weighted[:, :, row, column] *= mine[:, :, row, column]
        if tap == net.taps[-1]:
            weighted = backbone.bn2(backbone.conv_head(weighted))
        vectors.append(weighted.flatten(2).sum(2) / weighted[0, 0].numel())
    embedding = net.norm(torch.cat(vectors, 1))
    torch.testing.assert_close(out.embedding, embedding)
    torch.testing.assert_close(out.logits, net.head(embedding))
    if attention:
        torch.testing.assert_close(out.attention, weight)
        torch.testing.assert_close(out.attention_logits.sigmoid(), weight)
        assert out.attention.shape == (4, 1, *outputs[net.taps[-1]].shape[2:])
    else:
        assert out.attention is None
        assert out.attention_logits is None


@pytest.mark.parametrize("attention", [True, False])
def test_plain_is_timms_network_and_a_head(attention: bool) -> None:
    net = tiny("plain", attention=attention, head="linear").eval()
    torch.manual_seed(0)
    reference = timm.create_model(TINY, num_classes=2).eval()
    reference.load_state_dict(net.backbone.state_dict(), strict=False)
    reference.classifier.load_state_dict(net.head.state_dict())
    out = net(images())
    assert out.attention is None
    assert net.taps == (5,)
    torch.testing.assert_close(out.embedding, reference.forward_head(reference.forward_features(images()), True))
    torch.testing.assert_close(out.logits, reference(images()))
    assert set(part_sizes(net)) <= {"backbone", "head", "norm"}
    assert part_sizes(net)["norm"] == 0


def test_plain_norm_is_plain_with_batch_norm_and_network1_without_attention() -> None:
    plain, norm, first = tiny("plain"), tiny("plain-norm"), tiny("network1", attention=False)
    width = plain.head.weight.shape[1]
    added = {name: tuple(p.shape) for name, p in norm.named_parameters() if name not in dict(plain.named_parameters())}
    assert added == {"norm.weight": (width,), "norm.bias": (width,)}
    ours = norm.state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in plain.state_dict().items())
    assert list(first.state_dict()) == list(ours)
    assert all(torch.equal(tensor, ours[name]) for name, tensor in first.state_dict().items())
    target = torch.tensor([0, 1, 0, 1])
    for mode in (True, False):
        out, other = (net.train(mode)(images(), target) for net in (norm, first))
        assert out.attention is other.attention is None
        assert torch.equal(out.logits, other.logits)
    bare = plain.eval()(images()).embedding
    scaled = (bare - norm.norm.running_mean) / (norm.norm.running_var + norm.norm.eps).sqrt()
    norm.backbone.load_state_dict(plain.backbone.state_dict())  # whose statistics the training pass has moved
    torch.testing.assert_close(norm(images()).embedding, scaled)
    with pytest.raises(ValueError, match="at least 2 images"):
        norm.train()(images(1))


# drop-out, drop path, the input's range


def seen_by_head(net: networks.Network) -> list[torch.Tensor]:
    """What the head is given from now on, one entry a call."""
    found: list[torch.Tensor] = []
    net.head.register_forward_pre_hook(lambda _, given: found.append(given[0].detach()))
    return found


@pytest.mark.parametrize("head", ["arcface", "linear"])
@pytest.mark.parametrize("rate", [0.2, 0.4])
def test_drop_out_is_on_the_vector_before_the_head_and_in_training_alone(head: str, rate: float) -> None:
    net = tiny(head=head, drop_rate=rate)
    found, zeros, values = seen_by_head(net), 0, 0
    for _ in range(5):
        embedding = net(images(16), torch.arange(16) % 2).embedding
        given = found.pop()
        dropped = given == 0
        torch.testing.assert_close(given[~dropped], embedding[~dropped] / (1 - rate))
        zeros, values = zeros + int(dropped.sum()), values + dropped.numel()
    assert abs(zeros / values - rate) < 5 * (rate * (1 - rate) / values) ** 0.5  # five standard deviations
    embedding = net.eval()(images()).embedding
    assert torch.equal(found.pop(), embedding)


def test_drop_path_follows_the_linear_rule_and_leaves_residuals_out_by_image() -> None:
    rate = 0.6
    net = networks.build("plain", "linear", LITE0, pretrained=False, seed=0, drop_path_rate=rate)
    places = [block for stage in net.backbone.blocks for block in stage]
    shares: dict[int, list[torch.Tensor]] = {}
    hooks = []
    for place, block in enumerate(places):
        if isinstance(block.drop_path, nn.Identity) or not block.has_skip:
            continue

        def note(module: nn.Module, given: tuple[torch.Tensor], out: torch.Tensor, place: int = place) -> None:
            gone = out.flatten(1).abs().sum(1) == 0
            kept = given[0][~gone] / (1 - rate * place / len(places))
            torch.testing.assert_close(out[~gone], kept, rtol=1e-4, atol=1e-5)
            shares.setdefault(place, []).append(gone)

        hooks.append(block.drop_path.register_forward_hook(note))
    assert len(hooks) == 9  # of Lite0's 16 MBConvs have a residual
    with torch.no_grad():
        for _ in range(10):
            net(images(32, 32))
        for place, gone in shares.items():
            expected, count = rate * place / len(places), 320
            deviation = (expected * (1 - expected) / count) ** 0.5
            assert abs(torch.cat(gone).float().mean().item() - expected) < 5 * deviation
        for hook in hooks:
            hook.remove()
        net.eval()
        assert torch.equal(net(images()).logits, net(images()).logits)


@pytest.mark.parametrize("setting", ["drop_rate", "drop_path_rate"])
def test_drop_rates_change_training_and_neither_weights_nor_evaluation(setting: str) -> None:
    without, net = tiny(backbone=LITE0), tiny(backbone=LITE0, **{setting: 0.5})  # TINY has no residual to leave out
    assert list(net.state_dict()) == list(without.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), without.parameters(), strict=True))
    assert torch.equal(net.eval()(images()).logits, without.eval()(images()).logits)
    target, gradients = torch.tensor([0, 1, 0, 1]), []
    for trained in (net.train(), without.train()):
        state = torch.get_rng_state()
        F.cross_entropy(trained(images(), target).logits, target).backward()
        gradients.append(trained.backbone.conv_stem.weight.grad)
        assert torch.equal(torch.get_rng_state(), state) is (trained is without)  # without rates nothing is drawn
    assert not torch.equal(*gradients)


def test_images_may_go_in_unnormalised() -> None:
    net, usual = tiny(normalise="none"), tiny()
    assert (net.mean, net.std) == ((0, 0, 0), (1, 1, 1))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), usual.parameters(), strict=True))
    assert networks.network.normalisation(TINY, "none") == (net.mean, net.std)
    assert networks.network.normalisation(TINY) == (usual.mean, usual.std)


@pytest.mark.parametrize("head", ["arcface", "linear"])
@pytest.mark.parametrize("variant", ["plain", "plain-norm", *VARIANTS])
def test_gradient_reaches_every_part(variant: str, head: str) -> None:
    net = tiny(variant, head=head)
    out = net(images(), torch.tensor([0, 1, 0, 1]))
    F.cross_entropy(out.logits, torch.tensor([0, 1, 0, 1])).backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_earlier_taps_are_weighted_by_the_map_too() -> None:
    net = tiny("proposed", head="linear").eval()
    early = network.channels_of(net.backbone, net.taps[0])
    with torch.no_grad():
        net.attention.conv3.weight.zero_()
        net.attention.conv3.bias.fill_(-200.0)  # a map of zeros
    vector = net(images()).embedding * (net.norm.running_var + net.norm.eps).sqrt()
    assert vector[:, :early].abs().max() == 0


@pytest.mark.parametrize("head", ["arcface", "linear"])
def test_autocast_leaves_the_head_in_float32(head: str) -> None:
    net = tiny(head=head).eval()
    with torch.autocast("cpu", torch.bfloat16):
        out = net(images(), torch.tensor([0, 1, 0, 1]))
    assert out.attention_logits.dtype == torch.bfloat16  # autocast was on
    assert out.logits.dtype == out.embedding.dtype == out.attention.dtype == torch.float32
    target = torch.tensor([0, 1, 0, 1])
    again = net.head(out.embedding, target) if head == "arcface" else net.head(out.embedding)
    assert torch.equal(out.logits, again)


def test_double_precision_throughout() -> None:
    out = tiny().double()(images().double())
    assert {t.dtype for t in out} == {torch.float64}


def test_target_moves_the_logits_of_arcface_only() -> None:
    target = torch.tensor([0, 1, 0, 1])
    for head, moved in (("arcface", True), ("linear", False)):
        net = tiny(head=head).eval()
        assert bool((net(images()).logits != net(images(), target).logits).any()) is moved


def test_normalisation_is_the_backbones() -> None:
    for backbone, value in ((LITE0, 0.5), (B4, 0.5)):
        with torch.device("meta"):
            net = networks.build("plain", "linear", backbone, pretrained=False)
        assert net.mean == net.std == (value,) * 3
    assert tiny().mean == (0.485, 0.456, 0.406)


def test_seed_alone_decides_the_start() -> None:
    torch.manual_seed(1)
    first, state = tiny(seed=5), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)  # and the global generator is left alone
    second, other = tiny(seed=5), tiny(seed=6)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize(
    ("x", "word"),
    [(torch.zeros(2, 3, 31, 64), "31 x 64"), (torch.zeros(2, 1, 64, 64), "takes floating"),
     (torch.zeros(3, 64, 64), "takes floating"), (torch.zeros(2, 3, 64, 64, dtype=torch.uint8), "uint8"),
     (torch.zeros(0, 3, 64, 64), "without images")],
)  # fmt: skip
def test_images_that_do_not_fit(x: torch.Tensor, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        tiny().eval()(x)


def test_one_image_is_refused_in_training_and_fine_in_eval() -> None:
    net = tiny()
    with pytest.raises(ValueError, match="at least 2 images"):
        net(images(1))
    assert net.eval()(images(1)).logits.shape == (1, 2)


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"variant": "network3"}, "variant 'network3'"), ({"head": "cosface"}, "head 'cosface'"),
     ({"tap_reading": "stage"}, "tap_reading"), ({"backbone": "efficientnet_b99"}, "efficientnet_b99"),
     ({"backbone": "tf_efficientnet_b4.none"}, "none"),
     ({"backbone": "hf-hub:timm/tf_efficientnet_b4.ap_in1k"}, "hf-hub"), ({"backbone": "local-dir:/tmp"}, "local-dir"),
     ({"margin": -1.0}, "margin"), ({"normalise": "imagenet"}, "normalise 'imagenet'"),
     ({"drop_rate": 1.0}, "drop_rate"), ({"drop_path_rate": -0.1}, "drop_path_rate"),
     ({"weights": "x.safetensors"}, "pretrained is off")],
)  # fmt: skip
def test_unknown_settings_are_named(settings: dict[str, object], word: str) -> None:
    with pytest.raises(UserError, match=word):
        tiny(**settings)


# checkpoints


REGULARISED = {"variant": "plain-norm", "drop_rate": 0.4, "drop_path_rate": 0.2, "normalise": "none"}


@pytest.mark.parametrize(
    "settings", [{}, {"variant": "plain", "head": "linear"}, {"attention": False, "margin": 0.5}, REGULARISED]
)
def test_checkpoint_gives_the_same_network_back(tmp_path: Path, settings: dict[str, object]) -> None:
    net = tiny(**settings).to(memory_format=torch.channels_last)
    net(images())  # moves the running statistics
    networks.save(net, tmp_path / "a" / "x.safetensors", {"domain": "real footage", "seed": 3})
    back = networks.load(tmp_path / "a" / "x.safetensors")
    assert not back.training
    assert (back.taps, back.settings, back.mean, back.std) == (net.taps, net.settings, net.mean, net.std)
    for (name, a), (other, b) in zip(net.state_dict().items(), back.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(a, b)
    torch.testing.assert_close(back(images()).logits, net.eval()(images()).logits)
    assert networks.metadata(tmp_path / "a" / "x.safetensors") == {"domain": "real footage", "seed": 3}
    (tmp_path / "a" / "x.safetensors").write_bytes(b"")  # overwritten in place: the loaded network lives on
    back.train()(images()).logits.sum().backward()  # can be trained on
    assert back.backbone.conv_stem.weight.grad is not None


def test_weights_trained_with_drop_out_load_without() -> None:
    net, without = tiny(drop_rate=0.4, drop_path_rate=0.2), tiny(seed=1)
    without.load_state_dict(net.state_dict())
    assert torch.equal(without.eval()(images()).logits, net.eval()(images()).logits)


def test_a_checkpoint_of_before_these_settings_is_a_network_without_them(tmp_path: Path) -> None:
    net = tiny()
    older = {name: value for name, value in net.settings.items() if name not in REGULARISED or name == "variant"}
    assert len(older) == len(net.settings) - 3
    save_file(net.state_dict(), tmp_path / "x.safetensors", _header(settings=older))
    back = networks.load(tmp_path / "x.safetensors")
    assert (back.settings, back.mean, back.std) == (net.settings, net.mean, net.std)
    assert torch.equal(back(images()).logits, net.eval()(images()).logits)
    back.train()
    assert torch.equal(back(images()).logits, tiny()(images()).logits)


def test_same_network_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        networks.save(tiny(), tmp_path / name, {"domain": "x", "profile": {"b": 1, "a": [2]}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_diverged_network_is_not_saved(tmp_path: Path) -> None:
    net = tiny()
    with torch.no_grad():
        net.head.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"head\.weight is not finite"):
        networks.save(net, tmp_path / "x.safetensors", {})
    assert list(tmp_path.iterdir()) == []


def _header(**changes: object) -> dict[str, str]:
    return {"dfnb": json.dumps({"format": FORMAT, "settings": tiny().settings, "metadata": {}} | changes)}


def _break(fault: str, path: Path) -> None:
    """Write a checkpoint with one fault."""
    networks.save(tiny(), path, {})
    data = path.read_bytes()
    tensors = load(data)
    match fault:
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "cut in the header":
            path.write_bytes(data[:100])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("hello, I am a checkpoint")
        case "a header of absurd length":
            path.write_bytes(struct.pack("<Q", 2**60) + data[8:])
        case "torch.save":
            torch.save(tensors, path)
        case "pickle":
            path.write_bytes(pickle.dumps({"a": 1}))
        case "missing":
            save_file({k: v for k, v in tensors.items() if k != "head.weight"}, path, _header())
        case "extra":
            save_file(tensors | {"more": torch.zeros(1)}, path, _header())
        case "shape":
            save_file(tensors | {"head.weight": torch.zeros(2, 3)}, path, _header())
        case "type":
            save_file(tensors | {"head.weight": tensors["head.weight"].half()}, path, _header())
        case "nan":
            save_file(tensors | {"head.weight": tensors["head.weight"] * torch.nan}, path, _header())
        case "other variant":
            save_file(tensors, path, _header(settings=tiny().settings | {"variant": "network1"}))
        case "unknown variant":
            save_file(tensors, path, _header(settings=tiny().settings | {"variant": "network9"}))
        case "a backbone from the hub":
            save_file(tensors, path, _header(settings=tiny().settings | {"backbone": "hf-hub:a/b"}))
        case "a scale that is text":
            save_file(tensors, path, _header(settings=tiny().settings | {"scale": "16"}))
        case "a drop rate of text":
            save_file(tensors, path, _header(settings=tiny().settings | {"drop_rate": "0.4"}))
        case "settings missing":
            save_file(tensors, path, _header(settings={"variant": "proposed"}))
        case "settings a list":
            save_file(tensors, path, _header(settings=[]))
        case "version":
            save_file(tensors, path, _header(format=FORMAT + 1))
        case "someone else's":
            save_file(tensors, path, {"format": "pt"})
        case "no header":
            save_file(tensors, path)
        case "header not json":
            save_file(tensors, path, {"dfnb": "{"})


FAULTS = {
    "cut": "not a whole", "cut in the header": "not a whole", "empty": "not a safetensors", "text": "not a safetensors",
    "a header of absurd length": "not a whole", "torch.save": "pickle", "pickle": "pickle",
    "missing": "missing, first head.weight", "extra": "too many, first more", "shape": r"head.weight is \(2, 3\)",
    "type": "head.weight is torch.float16", "nan": "head.weight is not finite",
    "other variant": r"norm.weight is \(304,\), not \(256,\)",
    "unknown variant": "network9", "a backbone from the hub": "unknown backbone", "a scale that is text": "settings",
    "a drop rate of text": "settings",
    "settings missing": "settings", "settings a list": "damaged", "version": "format 2",
    "someone else's": "no checkpoint of dfnb", "no header": "no checkpoint of dfnb", "header not json": "no checkpoint",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_checkpoints_are_named_with_their_fault(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "faulty.safetensors"
    _break(fault, path)
    with pytest.raises(UserError, match=FAULTS[fault]) as caught:
        networks.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [networks.load, networks.metadata])
def test_missing_checkpoint_and_folder(function: object, tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UserError, match="can't be read"):
            function(path)


@pytest.mark.slow
def test_b4_at_380_pixels() -> None:
    """The paper's network in the paper's size: one step forward and back, and the parameter counts."""
    nets = {variant: networks.build(variant, "arcface", B4, pretrained=False, seed=0) for variant in VARIANTS}
    target = torch.tensor([0, 1])
    for variant, net in nets.items():
        out = net(torch.randn(2, 3, 380, 380, generator=torch.Generator().manual_seed(0)), target)
        assert out.attention.shape == (2, 1, 12, 12)
        assert out.embedding.shape == (2, {"network1": 1792, "proposed": 1952, "network2": 1848}[variant])
        F.cross_entropy(out.logits, target).backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())
        print(variant, networks.describe(net))
    # B4 without its classifier (timm) + branch (448 -> 112 -> 112 -> 1) + batch norm and head of the vector
    backbone = sum(p.numel() for p in timm.create_model(B4, num_classes=0).parameters())
    branch = 448 * 112 * 9 + 112 * 112 * 9 + 4 * 112 + 113
    channels = {"network1": "7 with 448", "proposed": "5, 7 with 160, 448", "network2": "3, 7 with 56, 448"}
    for variant, net in nets.items():
        parameters = backbone + branch + 4 * net.norm.num_features
        assert sum(p.numel() for p in net.parameters()) == parameters
        assert networks.describe(net) == f"Blocks {channels[variant]} channels, {parameters:,} parameters"
