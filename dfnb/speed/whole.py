"""The bench as a whole: stages and yardsticks in an order, the limits we set ourselves, and how it all scales."""

from __future__ import annotations

import datetime
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dfnb.common import environment, tuning
from dfnb.speed import growth, measure, stages, steps, table, ways
from dfnb.speed.table import Row, frame, row, shares

log = logging.getLogger(__name__)
SHA, PRODUCT, COPY, PLAIN = "SHA-256 of 16 MiB", "2048 x 2048 product", "copy of 1 GiB", "plain loop"
LIMITS = {"SBI pair": 0.6, "face stage": 1 / 3, "proposed": 1.08, "network1": 1.05, "scoring": 0.5}
UNITS = {"store reading": "faces", "SBI pair": "pairs"}
WHAT = {
    "benchmark rendering": "a 320 px frame of the benchmark, encoded",
    "decoding": f"{stages.WANTED} of {stages.LENGTH} frames, 720 px",
    "detection and landmarks": "a 720 px frame",
    "face stage": f"both, {stages.WANTED} of {stages.LENGTH} frames",
    "store reading": "faces of 720p footage",
    "SBI pair": f"two inputs of {stages.SIZE} px and their mask",
}


def report(output: Path, long: bool, against: Path | None, tolerance: float) -> bool:
    """Measure, print, and write the table and its picture into `output`; compare with the table `against`.

    Returns whether a stage is slower than it was there. Raises UserError, before anything is measured, where `against`
    is no such table.
    """
    before = table.read(against)[0] if against is not None else None
    measured, about = run(long)
    name = table.name_of(environment.processor(), about["date"])
    table.write(output / f"{name}.csv", measured, about)
    table.save(table.picture(measured, about), output / f"{name}.png")
    print(table.text(measured), f"written: {output / name}.csv", sep="\n")
    if long:
        other = ways.measure()
        table.write(output / f"{name}-ways.csv", other, about)
        print(table.text(other))
        cost = growth.measure()
        table.write(output / f"{name}-growth.csv", cost, about)
        table.save(growth.picture(cost, about), output / f"{name}-growth.png")
        print(cost.to_string(index=False, float_format="%.3g"))
    if before is None:
        return False
    found = table.compare(measured, before, tolerance)
    print(f"against {against}:", found.to_string(index=False, float_format="%.3g"), sep="\n")
    return bool((found["verdict"] == table.SLOWER).any())


def run(
    long: bool = False, seconds: float | None = None, backbone: str = steps.BACKBONE, size: int = stages.SIZE
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Measure everything. Returns the table (columns of `table.Row`) and what it was measured with.

    long: more repeats. seconds: for each stage before the network, unless given 10 in a long run and else 1.2.
    backbone, size: of the network's stages, size in pixels; pairs are made at 380 px all the same.
    """
    seconds = seconds or (10.0 if long else 1.2)
    with tempfile.TemporaryDirectory(prefix="dfnb-bench-") as temporary:
        folder = Path(temporary)
        with measure.crew(stages.make, list(stages.WORKS), folder, seconds / 2) as together:
            log.info("bench: rendering the heads that it works on")
            with measure.one_thread():
                stages.film(folder)
                log.info("bench: one process, then two")
                rows = [*_yardsticks(seconds), *(_data_stage(name, folder, seconds) for name in stages.WORKS)]
            measure.copy_1_gib.cache_clear()  # its memory is needed by what comes now
            rows = _scaled(rows, together())
        log.info("bench: the networks, %s at %d px", backbone, size)
        rows += network_stages(backbone, size, repeats=8 if long else 2)
        with tuning.freed_memory_kept():
            waits = steps.waiting(folder, backbone, size, pairs=2, steps=8 if long else 2, workers=1)
    about = environment.describe() | {
        "date": datetime.date.today().isoformat(),
        "cores": os.cpu_count(),
        "command": "dfnb bench" + (" --long" if long else ""),
        "networks": f"on the CPU, {torch.get_num_threads()} threads; nothing of a GPU was measured",
        "share of a training's time spent waiting for pairs from one worker": round(waits, 4),
    }
    return shared(frame(rows)), about


def _yardsticks(seconds: float) -> list[Row]:
    sha = measure.sha256_16_mib()
    made = {SHA: (lambda: (sha(), 1)[1], "one core"), PRODUCT: (_once(measure.product_2048()), "one thread")}
    rows = []
    for name, (work, what) in made.items():
        timing = measure.against(work, sha, seconds / 2)
        rows.append(row("yardstick", f"{name}, {what}", "times", timing.seconds, SHA, timing.yard))
    timing = measure.against(_once(measure.copy_1_gib()), sha, seconds / 2)
    return [*rows, row("yardstick", COPY, "times", timing.seconds, SHA, timing.yard)]


def _once(work: Any) -> measure.Work:
    return lambda: (work(), 1)[1]


def _data_stage(name: str, folder: Path, seconds: float) -> Row:
    """A stage against SHA-256, reading against the copy, and finding faces against the plain loop."""
    work, per, yardstick = stages.make(name, folder), 1, SHA
    yard = measure.sha256_16_mib()
    if name == "store reading":
        yard, per, yardstick = (
            measure.copy_1_gib(),
            1 / stages.gigabytes_of_a_face(folder),
            "copying 1 GiB, a face's part",
        )
    elif name == "face stage":
        plain = stages.extract_plainly(folder)
        yard, per, yardstick = plain, stages.WANTED, PLAIN
    timing = measure.against(work, yard, seconds, least=2 if yardstick == PLAIN else 3)
    limit = LIMITS.get(name, float("nan"))
    return row(name, WHAT[name], UNITS.get(name, "frames"), timing.seconds, yardstick, timing.yard / per, limit)


def _scaled(rows: list[Row], rates: dict[str, tuple[float, float]]) -> list[Row]:
    """The same rows with what a second process adds."""
    scaling = {name: together / alone for name, (alone, together) in rates.items()}
    return [one._replace(scaling=scaling.get(one.stage, one.scaling)) for one in rows]


def network_stages(backbone: str, size: int, repeats: int) -> list[Row]:
    """Scoring beside the plain way, and a training step beside timm's in float32 and bf16; all of torch's threads.

    Scoring comes first, in a process that hasn't trained, as with `dfnb score`: training leaves memory behind in which
    torch scores in half the time, since it needs none from the system. Steps have that memory, timm's and ours, as
    `dfnb train` gives it to them.
    """
    count, name = 4, f"{backbone.split('.')[0].removeprefix('tf_')}, {size} px"
    data, several = steps.batch(size, count), torch.get_num_threads() > 1
    images = data[0].repeat(2, 1, 1, 1)  # scoring works on larger batches than this training step
    works = [steps.plain_scoring(images, backbone), steps.scoring_work(images, backbone)]
    plain, ours = (seconds / len(images) for seconds in measure.in_turn(works, repeats))
    scoring = row("scoring", f"proposed arcface, {name}", "images", ours, "eager float32", plain, LIMITS["scoring"])
    nets, rows, single = steps.nets_of(backbone), [], 0.0
    with tuning.freed_memory_kept():
        for kind, bf16 in (("float32", False), ("bf16", True)):
            taken = measure.in_turn([steps.step(net, data, bf16) for net in nets], repeats)
            plain, *ours = (seconds / count for seconds in taken)
            single = single or plain
            rows.append(row("training step", f"timm's {name}, {kind}", "images", plain, "the same in float32", single))
            for (variant, head), seconds in zip(steps.NETWORKS, ours, strict=True):
                what = f"{variant} {head}, {name}, {kind}"
                rows.append(row("training step", what, "images", seconds, f"timm's, {kind}", plain, LIMITS[variant]))
    rows.append(scoring)
    if not several:
        return rows
    with measure.one_thread(), tuning.freed_memory_kept():
        alone = [steps.step(nets[-1], data), steps.scoring_work(images, backbone)]
        learned, scored = measure.in_turn(alone, max(1, repeats // 3))
    found = {len(steps.NETWORKS): learned / count, len(rows) - 1: scored / len(images)}  # float32's last; scoring
    return [one._replace(scaling=1e3 * found[n] / one.ms) if n in found else one for n, one in enumerate(rows)]


def shared(rows: pd.DataFrame) -> pd.DataFrame:
    """With the shares of an epoch: reading a face, making its pair, learning from both images."""
    learning = (rows["stage"] == "training step") & rows["what"].str.startswith("proposed")
    where = [rows.index[one][0] for one in (rows["stage"] == "store reading", rows["stage"] == "SBI pair", learning)]
    reading, pair, image = rows["ms"][where]
    rows.loc[where, "share"] = list(shares({"read": reading, "blend": pair - reading, "learn": 2 * image}).values())
    return rows
