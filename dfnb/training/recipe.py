"""The recipe in formulas: how long, at which rate, with which optimizer."""

import math
from typing import NamedTuple

import torch
from torch import nn

from dfnb.common.errors import UserError
from dfnb.profile import Train


class Plan(NamedTuple):
    """How long one training is, in optimisation steps."""

    steps: int  # in all
    per_epoch: int  # between two lines of the history


def plan(recipe: Train, faces: int) -> Plan:
    """Steps in all, and between two lines of the history, for a store of `faces` faces.

    Raises UserError where there are too few faces for one batch.
    """
    per_pass = faces // recipe.batch
    if per_pass == 0:
        raise UserError(f"{faces} training faces are fewer than train.batch = {recipe.batch}: add faces or lower it")
    if recipe.steps is not None:
        return Plan(recipe.steps, min(recipe.report_every, recipe.steps))
    assert recipe.epochs is not None  # a profile sets one of the two
    return Plan(recipe.epochs * per_pass, per_pass)


def learning_rate(step: int, steps: int, recipe: Train) -> float:
    """The rate of optimisation step `step` (0 is the first) of `steps`.

    constant_then_linear: `lr` up to the share `decay_from` of the training, then linearly towards 0 (SBI's recipe).
    one_cycle: a linear rise over the first fifth, then half a cosine down to 0 (after Smith and Topin 2018).
    """
    done = step / steps
    if recipe.schedule == "constant_then_linear":
        return recipe.lr * min(1.0, (1 - done) / (1 - recipe.decay_from)) if done > recipe.decay_from else recipe.lr
    rise = 0.2
    if done < rise:
        return recipe.lr * min(1.0, (step + 1) / (rise * steps))
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))


def make_optimizer(net: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    """SAM over SGD (Foret et al. 2021), plain SGD, or AdamW, over all parameters that learn."""
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(learning, lr=recipe.lr, weight_decay=recipe.weight_decay)
    sgd = {"lr": recipe.lr, "momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(learning, **sgd)
    from pytorch_optimizer import SAM  # slow to import, and only this recipe needs it

    return SAM(learning, torch.optim.SGD, rho=recipe.rho, **sgd)
