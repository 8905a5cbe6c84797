"""Which device and precision are chosen, on machines simulated by what torch would say of them."""

import pytest
import torch

from dfnb.common import devices
from dfnb.common.devices import Hardware

NONE = Hardware()
AMX = Hardware(bfloat16=True)
APPLE = Hardware(mps=True)
T4 = Hardware(("Tesla T4",), (7, 5))
V100 = Hardware(("Tesla V100",), (7, 0))
A100 = Hardware(("NVIDIA A100",), (8, 0))
FOUR = Hardware(("NVIDIA H100",) * 4, (9, 0))


@pytest.fixture
def machine(monkeypatch):
    """Says what the machine has, and whether this is a notebook's kernel that has used a GPU already."""

    def is_(hardware: Hardware, kernel: bool = False, used: bool = False) -> None:
        monkeypatch.setattr(devices, "hardware", lambda: hardware)
        monkeypatch.setattr(devices.processes, "in_a_kernel", lambda: kernel)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)

    return is_


@pytest.mark.parametrize(
    ("hardware", "size", "precision"),
    [(NONE, 128, "no"), (NONE, 380, "no"), (AMX, 128, "no"), (AMX, 380, "bf16"), (APPLE, 380, "no"), (T4, 380, "no"),
     (V100, 380, "no"), (A100, 128, "bf16"), (FOUR, 380, "bf16")],
)  # fmt: skip
def test_automatic_precision_is_bfloat16_only_where_the_hardware_computes_in_it(machine, hardware, size, precision):
    machine(hardware)
    assert devices.precision("auto", size) == precision
    assert devices.precision("no", size) == "no"
    assert devices.precision("bf16", size) == "bf16"


@pytest.mark.parametrize(
    ("hardware", "kernel", "used", "kind"),
    [(NONE, False, False, "cpu"), (APPLE, False, False, "cpu"), (A100, False, False, "cuda"),
     (A100, True, False, "cuda"),
     (FOUR, False, False, "cuda"), (FOUR, True, False, "cpu"), (FOUR, True, True, "cuda")],
)  # fmt: skip
def test_networks_score_on_a_gpu_and_a_kernel_leaves_several_to_training(machine, hardware, kernel, used, kind):
    machine(hardware, kernel, used)
    assert devices.kind_of_scoring() == kind
    assert devices.scoring_device().type == kind


def test_fast_scoring_is_for_processors_and_automatic_from_256_px_on():
    assert devices.choose("auto", 128) == devices.choose("auto", 380, "cuda") == devices.FLOAT32
    assert devices.choose("auto", 256) == devices.choose("auto", 380) == devices.choose("fast", 64) == devices.FAST
    assert devices.choose("float32", 380) == devices.choose("fast", 380, "cuda") == devices.FLOAT32


@pytest.mark.parametrize(
    ("answer", "gpus", "lowest"),
    [
        ((["Tesla V100", "NVIDIA A100"], [(7, 0), (8, 0)]), ("Tesla V100", "NVIDIA A100"), (7, 0)),
        (([], []), (), (0, 0)),  # the driver is too old: CUDA isn't available although GPUs are counted
    ],
)
def test_gpus_are_asked_elsewhere_and_unusable_ones_are_named(monkeypatch, caplog, answer, gpus, lowest):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: pytest.fail("this process touched a GPU"))
    monkeypatch.setattr(devices, "_asked_elsewhere", lambda: answer)
    found = devices.hardware.__wrapped__()
    assert (found.gpus, found.capability) == (gpus, lowest)
    assert ("is their driver too old?" in caplog.text) == (not gpus)


def test_a_process_of_its_own_answers_what_this_one_would():
    assert devices._asked_elsewhere() == devices._ask_gpus()


def test_this_machine_can_be_asked():
    found = devices.hardware()
    assert len(found.gpus) <= torch.cuda.device_count()
    assert devices.in_words("cpu") == "the processor"


def test_float32_on_a_gpu_is_exact_inside_the_block_alone():
    settings = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    before = [setting.fp32_precision for setting in settings]
    with devices.exact_float32():
        assert [setting.fp32_precision for setting in settings] == ["ieee", "ieee"]
    assert [setting.fp32_precision for setting in settings] == before
