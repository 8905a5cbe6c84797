"""The loop: schedule and SAM against their formulas, resuming bit for bit, sharing among processes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from faces_in_memory import DrawnFaces
from torch import nn

from dfnb import networks, profile, training
from dfnb.common import devices
from dfnb.common.errors import UserError
from dfnb.profile import Train
from dfnb.training import key, loop, resume

SMALL = {"model.backbone": "test_efficientnet"}
SGD = {"optimizer": "sgd", "schedule": "constant_then_linear", "epochs": 100}


@pytest.fixture
def tiny() -> profile.Profile:
    changes = {
        "model.size": 64, "model.pretrained": False, "train.steps": 6, "train.batch": 4, "train.report_every": 2,
        "train.optimizer": "sam", "train.schedule": "constant_then_linear", "train.workers": 0,
        "train.validation_pairs": 4,
    }  # fmt: skip
    return profile.load("smoke", changes)


def test_the_constant_then_linear_rate_is_the_recipes():
    recipe = Train(**SGD, lr=1e-3, decay_from=0.75)
    rates = [training.learning_rate(step, 400, recipe) for step in range(400)]
    assert set(rates[:301]) == {1e-3}
    np.testing.assert_allclose(rates[300:], 1e-3 * (400 - np.arange(300, 400)) / 100, rtol=1e-12)


def test_the_one_cycle_rate_rises_to_its_peak_once_and_falls_to_nothing():
    recipe = Train(optimizer="adamw", schedule="one_cycle", steps=300, lr=2e-3)
    rates = np.array([training.learning_rate(step, 300, recipe) for step in range(300)])
    assert rates.max() == pytest.approx(2e-3)
    peak = int(rates.argmax())
    assert np.all(np.diff(rates[: peak + 1]) > 0)
    assert np.all(np.diff(rates[60:]) < 0)
    assert rates[-1] < 1e-6 * 2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_sam_step_is_the_papers_formula(momentum, accelerator):
    """Foret et al. 2021, algorithm 1: the gradient at w + rho g / |g|, applied at w."""
    torch.manual_seed(0)
    net = Quadratic().double()
    batch = (torch.randn(6, 3, 1, 1).double(), torch.tensor([0, 0, 0, 1, 1, 1]), torch.zeros(6, 1, 1, 1).double())
    recipe = Train(**{**SGD, "optimizer": "sam"}, momentum=momentum, rho=0.3)
    optimizer = training.make_optimizer(net, recipe)
    weight, velocity = net.weight.detach().clone(), torch.zeros(3, 2).double()
    for _ in range(3):
        loop.optimise(net, optimizer, accelerator, batch, 0.1, recipe)
        gradient = gradient_at(weight, batch)
        perturbed = gradient_at(weight + 0.3 * gradient / gradient.norm(), batch)
        velocity = momentum * velocity + perturbed
        weight = weight - 0.1 * velocity
        torch.testing.assert_close(net.weight.detach(), weight, rtol=1e-9, atol=1e-9)


class Quadratic(nn.Module):
    """A linear classifier with the network's interface."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2))

    def forward(self, images: torch.Tensor, target: torch.Tensor | None = None) -> networks.Output:
        x = images.flatten(1)
        return networks.Output(x @ self.weight, None, x, None)


def gradient_at(weight: torch.Tensor, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Gradient of the mean cross-entropy in closed form: x^T (softmax - onehot) / B."""
    x, target = batch[0].flatten(1), batch[1]
    probability = (x @ weight).softmax(1)
    return x.T @ (probability - nn.functional.one_hot(target, 2)) / len(x)


@pytest.fixture
def accelerator():
    from accelerate import Accelerator

    return Accelerator(cpu=True)


def test_sams_second_pass_leaves_the_running_statistics_alone():
    norm = nn.BatchNorm1d(4)
    with loop.frozen_statistics(norm):
        norm(torch.randn(8, 4) + 3)
    torch.testing.assert_close(norm.running_mean, torch.zeros(4))
    norm(torch.randn(8, 4) + 3)
    assert (norm.running_mean > 0.1).all()


def test_the_weights_are_keyed_by_the_precision_asked_for_and_not_by_what_a_machine_makes_of_it(monkeypatch):
    demo, auto = profile.load("demo"), profile.load("demo", {"train.mixed_precision": "auto"})
    assert key.deciding(demo, "plain", "linear", 0) != key.deciding(auto, "plain", "linear", 0)
    found = []
    for hardware in (devices.Hardware(), devices.Hardware(("NVIDIA A100",), (8, 0))):
        monkeypatch.setattr(devices, "hardware", lambda hardware=hardware: hardware)
        found.append((key.deciding(auto, "plain", "linear", 0), training.describe(auto)["precision"]))
    assert found[0][0] == found[1][0]
    assert [precision for _, precision in found] == ["no", "bf16"]


def test_synchronised_batch_norm_is_the_same_network():
    """What GPUs train: timm's converter against the network as it was. torch's own drops timm's activations."""
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 1, 0, 1])

    def network_() -> networks.Network:
        return networks.build("proposed", "arcface", "test_efficientnet", pretrained=False, seed=0)

    plain, ours, torchs = network_(), loop.convert_sync_batchnorm(network_()), network_()
    norms = [m for m in ours.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(m, nn.SyncBatchNorm) for m in norms)
    for mode in (True, False):
        for net in (plain, ours):
            net.train(mode)
        torch.testing.assert_close(ours(images, target).logits, plain(images, target).logits)
    state = plain.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
    assert list(ours.state_dict()) == list(state)  # so checkpoints are read without it
    dropped = nn.SyncBatchNorm.convert_sync_batchnorm(torchs)(images, target).logits
    assert (dropped - network_()(images, target).logits).abs().max() > 0.01


def test_processes_share_every_batch_and_together_see_the_same_pairs():
    alone = list(loop.Batches(10, 4, 0, 0, 9, SimpleNamespace(num_processes=1, process_index=0)))
    for world in (2, 4):
        shares = [
            list(loop.Batches(10, 4, 0, 0, 9, SimpleNamespace(num_processes=world, process_index=rank)))
            for rank in range(world)
        ]
        for step, batch in enumerate(alone):
            assert sorted(pair for share in shares for pair in share[step]) == sorted(batch)
            assert {len(share[step]) for share in shares} == {4 // world}
    with pytest.raises(UserError, match=r"train\.batch = 4"):
        loop.Batches(10, 4, 0, 0, 9, SimpleNamespace(num_processes=3, process_index=0))


def test_a_resumed_stream_of_batches_is_the_rest_of_the_whole():
    one = SimpleNamespace(num_processes=1, process_index=0)
    whole = list(loop.Batches(10, 4, 0, 0, 9, one))
    assert list(loop.Batches(10, 4, 0, 5, 9, one)) == whole[5:]


def test_an_interrupted_training_ends_in_the_very_same_weights(tiny, tmp_path):
    whole = training.fit(tiny, "proposed", "arcface", 0, DrawnFaces(8, 0), DrawnFaces(4, 1), tmp_path / "whole")
    for moment in (11, 10):  # faces read: in the third batch, and going on from the second, in the fifth
        with pytest.raises(KeyboardInterrupt):
            training.fit(
                tiny,
                "proposed",
                "arcface",
                0,
                DrawnFaces(8, 0, interrupt_at=moment + 4),
                DrawnFaces(4, 1),
                tmp_path / "cut",
            )
    assert (tmp_path / "cut" / "state.safetensors").exists()
    cut = training.fit(tiny, "proposed", "arcface", 0, DrawnFaces(8, 0), DrawnFaces(4, 1), tmp_path / "cut")
    expected, resumed = networks.load(whole).state_dict(), networks.load(cut).state_dict()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    columns = ["step", "lr", "loss", "validation_loss", "validation_auc"]
    pd.testing.assert_frame_equal(*(pd.read_csv(path.parent / "history.csv")[columns] for path in (whole, cut)))
    assert not (tmp_path / "cut" / "state.safetensors").exists()


@pytest.mark.parametrize("tune", ["norms", "head"])
def test_what_does_not_learn_is_kept_through_a_training_and_its_interruption(tune, tiny, tmp_path):
    frozen = profile.changed(tiny, {"train.tune": tune, "train.ema_decay": 0.5, "model.drop_path_rate": 0.2} | SMALL)
    with pytest.raises(KeyboardInterrupt):
        training.fit(frozen, "proposed", "arcface", 0, DrawnFaces(8, 0, interrupt_at=14), DrawnFaces(4, 1), tmp_path)
    path = training.fit(frozen, "proposed", "arcface", 0, DrawnFaces(8, 0), DrawnFaces(4, 1), tmp_path)
    whole = training.fit(frozen, "proposed", "arcface", 0, DrawnFaces(8, 0), DrawnFaces(4, 1), tmp_path / "whole")
    start, net = training.initial_network(frozen, "proposed", "arcface", 0).state_dict(), networks.load(path)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in networks.load(whole).state_dict().items())
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, start[name])}
    inside = {name.removeprefix("backbone.") for name in changed if name.startswith("backbone.")}
    assert bool(inside) is (tune == "norms")
    assert all(isinstance(net.backbone.get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d) for name in inside)
    assert {"head.weight", "norm.weight", "attention.conv1.weight"} <= changed
    assert training.describe(frozen)["what learns of the backbone"]
    assert "what learns of the backbone" not in training.describe(tiny)


def test_a_training_with_drop_out_and_an_average_ends_in_the_very_same_weights_after_an_interruption(tiny, tmp_path):
    regular = {"model.drop_rate": 0.4, "model.drop_path_rate": 0.2, "model.normalise": "none", "train.ema_decay": 0.9}
    settings = profile.changed(tiny, regular)
    held_out = DrawnFaces(4, 1)

    def fit(folder, interrupt_at=None):
        return training.fit(settings, "proposed", "arcface", 0, DrawnFaces(8, 0, interrupt_at), held_out, folder)

    whole = []
    for noise in (1, 2):  # what torch drew before doesn't matter
        torch.manual_seed(noise)
        whole.append(fit(tmp_path / str(noise)))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", 15)
    kept = safetensors.torch.load_file(tmp_path / "cut" / "state.safetensors")
    assert {name.split(".")[0] for name in kept} == {"net", "average", "optimizer"}
    assert not torch.equal(kept["net.head.weight"], kept["average.head.weight"])
    first, second, resumed = (networks.load(path).state_dict() for path in (*whole, fit(tmp_path / "cut")))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
        assert torch.equal(tensor, resumed[name])
    assert networks.load(whole[0]).settings["drop_rate"] == 0.4


@pytest.mark.parametrize("optimizer", ["sam", "adamw"])
def test_the_average_is_that_of_the_weights_after_every_step(optimizer, tiny, tmp_path, monkeypatch, accelerator):
    """Against a sum over all steps, each weighted by the product of the decays that follow; a SAM step is one."""
    decay, after = 0.5, []
    settings = profile.changed(tiny, {"train.ema_decay": decay, "train.optimizer": optimizer} | SMALL)
    optimise, validated = loop.optimise, []

    def noted(model, *others):
        values = optimise(model, *others)
        after.append({name: value.detach().double().clone() for name, value in model.state_dict().items()})
        return values

    def validate(net, *others):
        validated.append(net.head.weight.detach().clone())
        return original(net, *others)

    original = loop.validate
    monkeypatch.setattr(loop, "optimise", noted)
    monkeypatch.setattr(loop, "validate", validate)
    path = training.fit(settings, "proposed", "arcface", 0, DrawnFaces(8, 0), DrawnFaces(4, 1), tmp_path)
    assert len(after) == 6
    decays = [min(decay, 1 - step ** (-2 / 3)) for step in range(1, 7)]
    assert decays[:2] == [0, 1 - 2 ** (-2 / 3)]
    assert decays[-1] == decay
    shares = [(1 - decays[k]) * np.prod(decays[k + 1 :]) for k in range(6)]
    assert sum(shares) == pytest.approx(1)
    for name, tensor in networks.load(path).state_dict().items():
        expected = sum(share * step[name] for share, step in zip(shares, after, strict=True))
        if not tensor.is_floating_point():  # a count of batches
            expected = after[-1][name]
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-4, atol=1e-6)
    assert len(validated) == 3
    assert torch.equal(validated[-1], networks.load(path).head.weight)
    assert not torch.equal(validated[-1].double(), after[-1]["head.weight"])
    net = networks.load(path)
    pairs = loop.pairs_of(settings, DrawnFaces(4, 1), 0, False, net.mean, net.std)
    measured = original(net, pairs, settings.train, accelerator)
    history = pd.read_csv(path.parent / "history.csv").iloc[-1]
    assert measured == pytest.approx((history["validation_loss"], history["validation_auc"]), rel=1e-6)


def test_both_passes_of_sam_drop_the_same(accelerator):
    """Against plain passes at w and w + rho g / |g| under one seed."""

    class Dropped(Quadratic):
        def forward(self, images, target=None):
            return super().forward(nn.functional.dropout(images, 0.5), target)

    torch.manual_seed(0)
    net = Dropped().double()
    batch = (torch.randn(6, 3, 1, 1).double(), torch.tensor([0, 0, 0, 1, 1, 1]), torch.zeros(6, 1, 1, 1).double())
    recipe = Train(**{**SGD, "optimizer": "sam"}, momentum=0.0, rho=0.3)
    start = net.weight.detach().clone()
    torch.manual_seed(7)
    seen = (nn.functional.dropout(batch[0], 0.5), *batch[1:])
    gradient = gradient_at(start, seen)
    expected = start - 0.1 * gradient_at(start + 0.3 * gradient / gradient.norm(), seen)
    state = torch.get_rng_state()
    loop.optimise(net, training.make_optimizer(net, recipe), accelerator, batch, 0.1, recipe, 7)
    torch.testing.assert_close(net.weight.detach(), expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(torch.get_rng_state(), state)


def test_settings_at_their_default_leave_what_decides_the_weights_as_it_was(tiny):
    model, recipe, *_ = key.deciding(tiny, "proposed", "arcface", 0)
    assert not {"normalise", "drop_rate", "drop_path_rate", "ema_decay"} & {*model, *recipe}
    changes = {"model.normalise": "none", "model.drop_rate": 0.4, "model.drop_path_rate": 0.2, "train.ema_decay": 0.9}
    faces, held_out = DrawnFaces(8, 0), DrawnFaces(4, 1)
    keys = [
        training.training_key(profile.changed(tiny, {name: value}), "proposed", "arcface", 0, faces, held_out)
        for name, value in ({"jobs": 1} | changes).items()
    ]
    assert len(set(keys)) == 5
    before = tiny.model_dump(mode="json")
    for name in changes:
        section, setting = name.split(".")
        before[section].pop(setting)  # as an older checkpoint has it
    about = {"profile": before, "faces": faces.digest, "held_out": held_out.digest, "code": key.code_digest()}
    assert key.changes(about, tiny, "proposed", "arcface", 0, faces, held_out) == "another format"
    later = profile.changed(tiny, {"train.ema_decay": 0.9})
    assert key.changes(about, later, "proposed", "arcface", 0, faces, held_out) == "train.ema_decay None -> 0.9"
    assert "drop-out" not in training.describe(tiny)
    assert training.describe(profile.changed(tiny, changes))["drop-out"] == 0.4


def test_a_finished_training_is_reused_until_its_settings_or_data_change(tiny, tmp_path):
    quick = tiny.model_copy(update={"train": tiny.train.model_copy(update={"steps": 1, "optimizer": "adamw"})})
    faces, held_out = DrawnFaces(8, 0), DrawnFaces(4, 1)
    first = training.fit(quick, "network1", "linear", 0, faces, held_out, tmp_path)
    before = first.stat().st_mtime_ns
    reads = faces.reads
    assert training.fit(quick, "network1", "linear", 0, faces, held_out, tmp_path) == first
    assert (first.stat().st_mtime_ns, faces.reads) == (before, reads)
    training.fit(quick, "network1", "linear", 0, DrawnFaces(9, 0), held_out, tmp_path)
    assert first.stat().st_mtime_ns != before


def test_the_training_key_follows_what_decides_the_weights_and_nothing_else(tiny):
    def key(overrides=None, head="linear", faces=None):
        loaded = profile.load("smoke", overrides)
        return training.training_key(loaded, "proposed", head, 0, faces or DrawnFaces(8, 0), DrawnFaces(4, 1))

    assert key() == key({"train.workers": 2}) == key({"arcface.margin": 0.3}) == key({"jobs": 1})
    different = [
        key(),
        key(head="arcface"),
        key({"train.lr": 0.5}),
        key({"model.size": 96}),
        key(faces=DrawnFaces(8, 3)),
    ]
    assert len(set(different)) == 5


def test_too_few_faces_are_named():
    with pytest.raises(UserError, match=r"3 training faces are fewer than train\.batch = 16"):
        training.plan(Train(**SGD), 3)


def test_a_damaged_resume_file_is_named(tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"not tensors")
    net = nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"state\.safetensors: not a safetensors file.* remove it"):
        resume.restore(path, "key", net, torch.optim.SGD(net.parameters(), lr=0.1))


def test_a_training_that_diverges_is_named(tiny, tmp_path):
    wild = tiny.model_copy(update={"train": tiny.train.model_copy(update={"lr": 1e30, "optimizer": "sgd"})})
    with pytest.raises(UserError, match=r"lower train\.lr"):
        training.fit(wild, "network1", "linear", 0, DrawnFaces(8, 0), DrawnFaces(4, 1), tmp_path)
