"""Whether the fast ways say what the plain ones do, on all test videos of a finished run.

`python -m dfnb.speed.agreement demo figures` compares the coverage of the face stage with that of a plain loop, and the
scores of `precision: fast` with those of float32: by the run's last network, and by EfficientNet-B4 at 380 px, for
which fast is meant. B4's ImageNet weights aren't always to be had, so its weights are random here, with batch norms set
and a head fitted on FF++ test faces: enough of a network to ask what another arithmetic does to its answers.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from dfnb import networks, scoring
from dfnb.benchmark import video
from dfnb.common import environment
from dfnb.common.errors import UserError
from dfnb.data import faces, frames
from dfnb.experiment.run import Run, open_run
from dfnb.networks import Network
from dfnb.plots.style import evenly
from dfnb.scoring import metrics, score
from dfnb.speed import steps, table

MOVED, APART = 0.01, 0.001  # by how much a video's probability, and an AUC, may change
SIZE = 380  # of B4's input, pixels
_SAME = 0.5  # boxes that overlap by more are one face
_FITTED = 96  # faces that B4's head is fitted on
_ANY_SIDE = 1 << 16  # pixels: no frame is shrunk
_BATCH = 16
_FRAMES = 1  # of each video: two networks and two ways of finding faces take a while


def coverage(clips: pd.DataFrame, count: int) -> pd.DataFrame:
    """Face stage against a plain loop, in `count` frames of each video: what, samples, plain, fast, limit.

    The plain loop decodes every frame and looks at the wanted ones at full size, doubled once. Shares are of frames
    with a face, and of the plain way's faces (those that count by SBI's rule) that the fast way finds where they are.
    The times are a core's seconds; limits: the fast way must have at least that.
    """
    quick, plain = faces.FaceFinder(), faces.FaceFinder(longest_side=_ANY_SIDE, upsample=1, retry=0)
    seen, with_face, spent = 0, np.zeros(2), np.zeros(2)
    expected = again = 0
    for path in clips["path"]:
        began = time.process_time()
        fast = {index: quick(rgb) for index, rgb in frames.sample_frames(path, count)}
        middle = time.process_time()
        shots = video.read(Path(path))
        slow = {index: plain(shots[index]) for index in frames.places(len(shots), count)}
        spent += middle - began, time.process_time() - middle
        seen += len(slow)
        with_face += sum(map(bool, fast.values())), sum(map(bool, slow.values()))
        for index, found in slow.items():
            for face in (one for one in found if 2 * one.area >= found[0].area):
                expected += 1
                again += any(faces.overlap(face.box, one.box) > _SAME for one in fast.get(index, []))
    share, rate = with_face / seen, seen / spent
    rows = [
        ("frames with a face", seen, share[1], share[0], share[1]),
        ("the plain way's faces found again", expected, 1.0, again / expected, np.nan),
        ("frames a second on one core", seen, rate[1], rate[0], np.nan),
    ]
    return pd.DataFrame(rows, columns=["what", "samples", "plain", "fast", "limit"])


def scores(run: Run, part: str, net: Network, size: int, count: int | None = None) -> pd.DataFrame:
    """Video scores of a part in float32 and in the fast way, by the report's own rules: columns as `coverage`'s.

    count: the first so many frames of each video; all of them unless told. Rows: the AUC, and the largest change of a
    video's probability (in column fast); limits: the most allowed change.
    """
    store, clips = run.store(part), run.clips(part)
    if count is not None:
        rank = store.manifest.groupby(["dataset", "split", "video"], observed=True)["frame"].rank("dense")
        store = store.subset((rank <= count).to_numpy())
    found = []
    for precision in ("float32", "fast"):
        scored = scoring.score_store(net, store, size, _BATCH, f"{part}, {precision}", precision)
        found.append(metrics.video_scores(scored.table, run.profile.evaluate.size_rule, clips))
    plain, fast = (one["score"].to_numpy() for one in found)
    fake = (found[0]["label"] == "fake").to_numpy()
    rows = [
        ("AUC of the videos", len(fake), metrics.auc(fake, plain).value, metrics.auc(fake, fast).value, APART),
        ("largest change of a video's probability", len(fake), 0.0, float(np.abs(plain - fast).max()), MOVED),
    ]
    return pd.DataFrame(rows, columns=["what", "samples", "plain", "fast", "limit"])


def fitted(run: Run, part: str, backbone: str = steps.BACKBONE, size: int = SIZE) -> Network:
    """The proposed network with random weights, batch norms set and a linear head fitted to tell a part's fakes."""
    from sklearn.linear_model import LogisticRegression

    store = run.store(part)
    store = store.subset(evenly(len(store), _FITTED))
    net = networks.build("proposed", "linear", backbone, pretrained=False, seed=0).to(memory_format=torch.channels_last)
    crops = score.Crops(store, size, net.mean, net.std)
    batches = [torch.stack([crops[i] for i in group]) for group in np.array_split(range(len(crops)), len(crops) // 8)]
    _set_statistics(net, batches[::3])
    with torch.inference_mode():
        seen = torch.cat([net(images).embedding for images in batches]).numpy()
    fake = (store.manifest["label"] == "fake").to_numpy()
    fit = LogisticRegression(C=0.01, class_weight="balanced", max_iter=5000).fit(seen, fake)
    with torch.no_grad():  # fitted log odds are the difference of the two logits
        weight, bias = torch.from_numpy(fit.coef_[0]).float() / 2, torch.tensor(float(fit.intercept_[0])) / 2
        net.head.weight.copy_(torch.stack([-weight, weight]))
        net.head.bias.copy_(torch.stack([-bias, bias]))
    return net


def _set_statistics(net: Network, batches: Sequence[torch.Tensor]) -> None:
    """Running statistics: the mean over these batches. Leaves the network in eval mode."""
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all, instead of a moving one
    with torch.no_grad():
        for images in batches:
            net.train()(images)
    net.eval()


def measure(run: Run, backbone: str = steps.BACKBONE, size: int = SIZE) -> pd.DataFrame:
    """`coverage` and `scores`: columns part, network, what, samples, plain, fast, limit.

    On every test part, with the run's last network; B4 on the first part that it wasn't fitted on.

    Raises UserError where the run has no fakes to test on.
    """
    if not run.tests:
        raise UserError(f"profile {run.profile.name}: no test set to compare fast and plain ways on")
    own, side = run.networks[-1], run.profile.model.size
    found = [coverage(run.clips(part), _FRAMES).assign(part=part, network="") for part in run.tests]
    for part in run.tests:
        trained = scores(run, part, run.network(own.name, own.seed), side, _FRAMES)
        found.append(trained.assign(part=part, network=f"{own.name}, {side} px"))
    part, net = run.cross_tests[0], fitted(run, run.tests[0], backbone, size)
    found.append(
        scores(run, part, net, size, _FRAMES).assign(
            part=part, network=f"{backbone} with random weights and a fitted head, {size} px"
        )
    )
    return pd.concat(found, ignore_index=True)[["part", "network", "what", "samples", "plain", "fast", "limit"]]


def main(profile: str, output: str) -> None:
    """Measure, print, and write `agreement-<profile>.csv` into `output`."""
    run = open_run(profile)
    found = measure(run)
    about: dict[str, Any] = environment.describe() | {
        "date": datetime.date.today().isoformat(),
        "command": f"python -m dfnb.speed.agreement {profile} {output}",
        "data": "embedded benchmark" if run.embedded else "real footage",
    }
    file = Path(output) / f"agreement-{run.profile.name}.csv"
    table.write(file, found, about)
    print(found.to_string(index=False, float_format="%.5g"), f"written: {file}", sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
