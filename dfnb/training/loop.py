"""The training loop: one network, real faces in, a checkpoint out.

The recipe is the paper's where it speaks and SBI's where it doesn't: SAM over SGD, 16 real faces and their 16 fakes a
step, a constant and then linearly falling rate, the last checkpoint kept. It runs unchanged under `accelerate launch`.

Several processes: each builds the same list of batches and takes its own share of every one, so the pairs seen don't
depend on how many processes there are. Batch-norm statistics are synchronised on GPUs; the CPU has no such form, so
there each process normalises by its own share and the main one's running statistics are kept. Both of SAM's gradients
are averaged over the processes, so its step is that of one process with the whole batch. The stream of faces runs on
from one epoch into the next, so no batch is uneven. Only the main process writes, and all must see what it wrote.

Drop-out and drop path draw from (seed, step, process) alone, so that a resumed training is the uninterrupted one; they
are the only draws that depend on how many processes there are.
"""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors import SafetensorError
from sklearn.metrics import roc_auc_score
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm.auto import tqdm

from dfnb import networks
from dfnb.common import devices, environment, faults, files, loading, locks, processes, tuning
from dfnb.common.errors import UserError
from dfnb.common.randomness import generator
from dfnb.data.store import FaceStore
from dfnb.networks import attention
from dfnb.networks.checkpoint import metadata
from dfnb.profile import Profile, Train, resolve
from dfnb.sbi import Batches, PairDataset, init_worker, presets
from dfnb.training import resume
from dfnb.training.key import code_digest, training_key
from dfnb.training.recipe import learning_rate, make_optimizer, plan

log = logging.getLogger(__name__)


class Losses(NamedTuple):
    """Scalars of one batch, and its logits (B, 2)."""

    total: Tensor
    classes: Tensor
    attention: Tensor
    logits: Tensor


def losses(net: nn.Module, images: Tensor, target: Tensor, masks: Tensor, attention_weight: float) -> Losses:
    """Cross-entropy (paper, equation 4) plus the attention map's distance to the face mask (section 3-3).

    images: (B, 3, S, S); target: (B,) int64, 1 is fake; masks: (B, 1, S, S) in 0..1, from dlib's landmarks.
    Both losses are taken in float32 or wider: the network hands out its logits so.
    """
    output = net(images, target)
    classes = F.cross_entropy(output.logits, target)
    supervision = classes.new_zeros(())
    if output.attention_logits is not None and attention_weight > 0:
        supervision = attention.attention_loss(output.attention_logits, masks)
    return Losses(classes + attention_weight * supervision, classes, supervision, output.logits)


def fit(
    profile: Profile,
    variant: str,
    head: str,
    seed: int,
    faces: FaceStore,
    held_out: FaceStore,
    folder: Path,
    accelerator: Accelerator | None = None,
) -> Path:
    """Train one network, or take up or reuse what `folder` holds of the very same training.

    faces, held_out: stores of real faces to train on and to validate on.
    Returns the checkpoint's path; writes checkpoint.safetensors, history.csv and, while unfinished, state.safetensors.
    Raises UserError where the settings don't fit the data and where the loss stops being a number.
    """
    checkpoint = folder / "checkpoint.safetensors"
    key = training_key(profile, variant, head, seed, faces, held_out)
    if checkpoint.exists() and metadata(checkpoint).get("training") == key:
        return checkpoint
    precision = devices.precision(profile.train.mixed_precision, profile.model.size)
    accelerator = accelerator or processes.accelerator(precision)
    alone = locks.exclusive(folder, "training", ("checkpoint", "history", "state"))
    doing = faults.named_faults(f"training {variant} {head}, seed {seed}")
    with alone, doing, tuning.freed_memory_kept(), devices.exact_float32():
        _fit(profile, variant, head, seed, faces, held_out, checkpoint, key, accelerator)
    return checkpoint


def _fit(
    profile: Profile,
    variant: str,
    head: str,
    seed: int,
    faces: FaceStore,
    held_out: FaceStore,
    checkpoint: Path,
    key: str,
    accelerator: Accelerator,
) -> None:
    recipe, unfinished = profile.train, checkpoint.with_name("state.safetensors")
    schedule = plan(recipe, len(faces))
    net = initial_network(profile, variant, head, seed)
    if accelerator.is_main_process:
        log.info("%s %s, seed %d: %s; on %s", variant, head, seed, networks.describe(net), where(accelerator))
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        net = convert_sync_batchnorm(net).train()  # timm's: torch's own drops the activation inside timm's batch norms
    net = net.to(memory_format=torch.channels_last)  # convolutions are faster so, on CPUs and GPUs
    average = average_of(net, recipe)  # before accelerate changes its forward: a copy's would still call the original's
    model = accelerator.prepare(net)  # on its device, and wrapped where there are several processes
    averaged = None if average is None else average.module.to(accelerator.device)
    kept = net if averaged is None else averaged  # what is validated and saved
    optimizer = make_optimizer(net, recipe)
    position = resume.restore(unfinished, key, net, optimizer, averaged)
    _agree(accelerator, position.step, checkpoint.parent)

    pairs = pairs_of(profile, faces, seed, True, net.mean, net.std)
    validation = pairs_of(profile, held_out, seed, False, net.mean, net.std)
    loader = make_loader(pairs, recipe, position.step, schedule.steps, accelerator)
    like = next(net.parameters())
    bar = tqdm(
        total=schedule.steps,
        initial=position.step,
        unit="step",
        desc=f"{variant} {head}, seed {seed}",
        mininterval=1.0,
        **({} if accelerator.is_main_process else {"disable": True}),  # else it is up to tqdm, and its environment
    )
    before = position.history[-1]["seconds"] if position.history else 0.0  # of a training that was interrupted
    measured, began = Measured(), time.monotonic() - before
    for pair in loader:
        images, target, masks = as_batch(*pair, like=like)
        rate = learning_rate(position.step, schedule.steps, recipe)
        draws = int(generator("drop-out", seed, position.step, accelerator.process_index).integers(2**63))
        values = optimise(model, optimizer, accelerator, (images, target, masks), rate, recipe, draws)
        measured.add(values, target)
        position.step += 1
        if average is not None:
            average.update(net, step=position.step)
        bar.update()
        if position.step % schedule.per_epoch and position.step != schedule.steps:
            continue
        line = {"step": position.step, "epoch": position.step * recipe.batch / len(faces), "lr": rate}
        line |= measured.means(accelerator)
        if not math.isfinite(line["loss"]):
            raise UserError(f"{variant} {head}: the loss is {line['loss']} after step {position.step}; lower train.lr")
        line["validation_loss"], line["validation_auc"] = validate(kept, validation, recipe, accelerator)
        line["seconds"] = time.monotonic() - began
        position.history.append(line)
        bar.set_postfix(loss=f"{line['loss']:.3f}", validation_auc=f"{line['validation_auc']:.3f}")
        if accelerator.is_main_process and position.step < schedule.steps:
            with _writing(unfinished):
                resume.keep(unfinished, key, net, optimizer, position, averaged)
    bar.close()
    if accelerator.is_main_process:
        about = {"training": key, "seed": seed, "domain": domain(faces), "code": code_digest()}
        about |= {"profile": profile.model_dump(mode="json"), "started_from": net.origin}
        about |= {"faces": faces.digest, "held_out": held_out.digest, "threads": torch.get_num_threads()}
        about |= {"made_with": {"on": where(accelerator), "versions": environment.versions("torch", "timm")}}
        with _writing(checkpoint):
            with files.replacing(checkpoint.parent / "history.csv") as temporary:
                pd.DataFrame(position.history).to_csv(temporary, index=False)
            networks.save(kept, checkpoint, about)
        unfinished.unlink(missing_ok=True)
    accelerator.wait_for_everyone()


def where(accelerator: Accelerator) -> str:
    """Device, processes and precision in words, such as "2 x NVIDIA A100, 2 processes, bf16"."""
    words = [devices.in_words(accelerator.device.type)]
    if accelerator.num_processes > 1:
        words.append(f"{accelerator.num_processes} processes")
    return ", ".join([*words, "float32" if accelerator.mixed_precision == "no" else accelerator.mixed_precision])


class Measured:
    """Losses and accuracy since the last line of the history.

    They stay on their device until their means are asked for, so that no step waits for a GPU.
    """

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def add(self, values: Losses, target: Tensor) -> None:
        """One batch: its losses, and the share of images whose class is right; target: (B,)."""
        right = (values.logits.argmax(1) == target).float().mean()
        self.steps.append(torch.stack([values.total, values.classes, values.attention, right]).detach())

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """loss, class_loss, attention_loss and accuracy: means over steps and processes. It then starts anew."""
        sums = torch.zeros(5, dtype=torch.float64)
        for step in torch.stack(self.steps).cpu().double():  # on the CPU first: Apple's GPUs know no float64
            sums[:4] += step
        sums[4] = len(self.steps)
        self.steps.clear()
        total = accelerator.reduce(sums.float().to(accelerator.device), reduction="sum").cpu()
        names = ("loss", "class_loss", "attention_loss", "accuracy")
        return dict(zip(names, (total[:4] / total[4]).tolist(), strict=True))


def pairs_of(
    profile: Profile, faces: FaceStore, seed: int, train: bool, mean: Sequence[float], std: Sequence[float]
) -> PairDataset:
    """The pairs a training learns from, or (train False) is validated on; mean, std: of the network."""
    blender = presets.resolve(profile.sbi)
    return PairDataset(faces, size=profile.model.size, seed=seed, train=train, mean=mean, std=std, blender=blender)


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Raises UserError, naming the file, where the disk is full or can't be written; what was kept before stays."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{file}: can't be written ({error}); free some space and start it again, it goes on where it was last kept"
        ) from error


def _agree(accelerator: Accelerator, step: int, folder: Path) -> None:
    """Raises UserError where the processes found different states of one training on their disks."""
    if accelerator.num_processes > 1:
        found = accelerator.gather(torch.tensor([step], device=accelerator.device)).tolist()
        if len(set(found)) > 1:
            steps = ", ".join(map(str, found))
            raise UserError(f"{folder}: the processes see different states of it (steps {steps}): share its disk")


def make_loader(
    pairs: PairDataset, recipe: Train, start: int, steps: int, accelerator: Accelerator
) -> Iterable[Sequence[Tensor]]:
    """This process's share of every batch from step `start` on, as (real, fake, mask)."""
    return loading.batches(
        pairs,
        recipe.batch // accelerator.num_processes * pairs.nbytes,
        recipe.workers,
        batch_sampler=Batches(len(pairs), recipe.batch, pairs.seed, start, steps, accelerator),
        worker_init_fn=init_worker,
        pin_memory=accelerator.device.type == "cuda",
    )


def domain(faces: FaceStore) -> str:
    """The training domain: "embedded benchmark" where one of these faces is a rendered head, else "real footage"."""
    return "embedded benchmark" if faces.manifest["dataset"].str.contains("-like").any() else "real footage"


def initial_network(profile: Profile, variant: str, head: str, seed: int) -> nn.Module:
    """The network before training; its new layers are drawn from `seed` alone; what learns is as the recipe says."""
    model = profile.model
    net = networks.build(
        variant=variant,
        head=head,
        backbone=model.backbone,
        pretrained=model.pretrained,
        weights=resolve(model.weights) if model.weights else None,
        weights_sha256=model.weights_sha256,
        tap_reading=model.tap_reading,
        attention=model.attention,
        drop_rate=model.drop_rate,
        drop_path_rate=model.drop_path_rate,
        normalise=model.normalise,
        size=model.size,
        seed=seed,
        **profile.arcface.model_dump(),
    )
    net.learn(profile.train.tune)
    return net


def average_of(net: nn.Module, recipe: Train) -> ModelEmaV3 | None:
    """The moving average of a network's weights and running statistics, `ModelEmaV3.module`; None without.

    Its decay after step t (1 is the first) is min(ema_decay, 1 - t^(-2/3)), timm's warm-up: with `ema_decay` from the
    start a short training would end mostly in the weights it began with. Step 1 gives the weights themselves.
    """
    return None if recipe.ema_decay is None else ModelEmaV3(net, decay=recipe.ema_decay, use_warmup=True)


def as_batch(real: Tensor, fake: Tensor, mask: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs (b, 3, S, S), (b, 3, S, S), (b, 1, S, S) -> images (2b, 3, S, S), target (2b,), masks (2b, 1, S, S).

    like: a parameter of the network, whose device and type images and masks take.
    """
    # each to the device by itself: what they are joined to would no longer lie in pinned memory
    real, fake, mask = (part.to(like.device, like.dtype, non_blocking=True) for part in (real, fake, mask))
    images = torch.cat([real, fake]).contiguous(memory_format=torch.channels_last)
    target = torch.arange(2, device=like.device).repeat_interleave(len(real))
    return images, target, torch.cat([mask, mask])


def optimise(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    batch: tuple[Tensor, Tensor, Tensor],
    rate: float,
    recipe: Train,
    draws: int | None = None,
) -> Losses:
    """One optimisation step at learning rate `rate`; with SAM two passes, the second without batch-norm statistics.

    draws: seed of drop-out and drop path; torch's generators are left as they were. Both of SAM's passes draw the same,
        as in its authors' implementation: they are gradients of one function. None draws from torch's generators.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate

    def backward() -> Losses:
        optimizer.zero_grad()
        with _drawing(draws, accelerator.device), accelerator.autocast():
            values = losses(model, *batch, attention_weight=recipe.attention_weight)
        accelerator.backward(values.total)
        return values

    values = backward()
    if recipe.optimizer == "sam":
        with frozen_statistics(model):
            optimizer.step(lambda: backward().total.detach())
    else:
        optimizer.step()
    return values


@contextmanager
def _drawing(seed: int | None, device: torch.device) -> Iterator[None]:
    """torch draws from `seed` inside, on the CPU and on `device`, and goes on as before afterwards; None: no change."""
    with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norm still uses the batch's statistics but doesn't take them into its running ones.

    SAM's second pass looks at perturbed weights, whose statistics the network never uses in evaluation.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@torch.no_grad()
def validate(net: nn.Module, pairs: PairDataset, recipe: Train, accelerator: Accelerator) -> tuple[float, float]:
    """Loss and ROC AUC on the first `validation_pairs` held-out SBI pairs, spread evenly over the store.

    Every process does this; the main one's numbers are kept. The network's mode is restored.
    """
    mode = net.training
    count = min(recipe.validation_pairs, len(pairs))
    chosen = [(0, index * len(pairs) // count) for index in range(count)]
    size = 2 * recipe.batch
    net.eval()
    total, scores, labels = 0.0, [], []
    for start in range(0, count, size):
        real, fake, mask = torch.utils.data.default_collate([pairs[item] for item in chosen[start : start + size]])
        images, target, _ = as_batch(real, fake, mask, next(net.parameters()))
        with accelerator.autocast():
            logits = net(images).logits
        total += F.cross_entropy(logits, target, reduction="sum").item()
        scores.append(logits.softmax(1)[:, 1].cpu())
        labels.append(target.cpu())
    net.train(mode)
    return total / (2 * count), float(roc_auc_score(torch.cat(labels).numpy(), torch.cat(scores).numpy()))


def describe(profile: Profile) -> dict[str, Any]:
    """What a reader wants to know of the recipe, in a few words."""
    recipe = profile.train
    learning = {"norms": "its norms' scales and shifts alone", "head": "nothing"}.get(recipe.tune)
    length = f"{recipe.steps} steps" if recipe.steps else f"{recipe.epochs} epochs"
    chosen = {
        "input": "0 to 1, not normalised" if profile.model.normalise == "none" else None,
        "drop-out": profile.model.drop_rate or None,
        "drop path": profile.model.drop_path_rate or None,
        "decay of the averaged weights": recipe.ema_decay,
        "what learns of the backbone": learning,
    }
    return {
        "backbone": profile.model.backbone,
        "input, px": profile.model.size,
        "length": length,
        "batch": f"{recipe.batch} real + {recipe.batch} fake",
        "optimizer": recipe.optimizer,
        "schedule": recipe.schedule,
        "learning rate": recipe.lr,
        "attention weight": recipe.attention_weight,
        "precision": devices.precision(recipe.mixed_precision, profile.model.size),
        "seeds": ", ".join(map(str, recipe.seeds)),
    } | {name: value for name, value in chosen.items() if value is not None}
