"""The report's tables, made from a run: its data, what was trained, the results, paired comparisons."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from scipy.stats import t as student

from dfnb.networks import network
from dfnb.plots.style import look, with_interval
from dfnb.scoring import comparisons, metrics
from dfnb.scoring.comparisons import holm

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

SIGNIFICANT = 0.05
PURPOSE = {"train": "training", "validation": "validation", "ff": "test"}


@cache
def published() -> dict[str, Any]:
    """What the paper reports (`published.yaml`): for the order of the networks only."""
    text = (resources.files("dfnb") / "plots" / "published.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["paper"]


def paper(key: str) -> pd.DataFrame:
    """A table of the paper: "taps", "arcface", "sets" (AUC) or "videos"."""
    values = published()[key]
    if key == "videos":
        return pd.DataFrame(values)
    what = "tested on" if key == "sets" else "network"
    rows = [
        {what: look(name).label if what == "network" else name, "AUC in the paper": v} for name, v in values.items()
    ]
    return pd.DataFrame(rows)


def catalogue(run: "Run") -> pd.DataFrame:
    """Videos listed in every part of the run: a row per part, dataset and method."""
    rows = []
    for part in run.parts:
        clips = run.clips(part)
        counts = clips.groupby(["dataset", "split", "label", "method"], sort=False).size()
        table = counts.rename("videos").reset_index().assign(part=part)
        partial = {entry["method"] for entry in clips.attrs.get("sets", []) if entry["subset"]}
        table["dataset"] += np.where(table["method"].isin(partial), " (subset)", "")
        rows.append(table)
    table = pd.concat(rows, ignore_index=True)
    return table[["part", "dataset", "split", "label", "method", "videos"]]


def title(run: "Run", part: str) -> str:
    """A part in words: its dataset, and what it is for where that isn't the test."""
    if part == "sbi":
        return "held-out SBI pairs"
    return f"{run.title(part)}, {PURPOSE[part]}" if part in PURPOSE else run.title(part)


def variants(run: "Run") -> pd.DataFrame:
    """The networks of the run, read from the built models: taps, channels, size of the vector, parameters."""
    from dfnb import networks

    rows, model = [], run.profile.model
    supervised = "supervised by the face mask" if run.profile.train.attention_weight else "unsupervised"
    for name in names(run):
        trained = run.find(name)
        net = networks.build(
            trained.variant,
            trained.head,
            model.backbone,
            pretrained=False,
            tap_reading=model.tap_reading,
            attention=model.attention,
            size=model.size,
        )
        channels = [network.channels_of(net.backbone, tap) for tap in net.taps]
        branch = sum(p.numel() for p in net.attention.parameters()) if net.attention is not None else 0
        rows.append(
            {
                "network": look(name).label,
                "taps (Block)": ", ".join(map(str, net.taps)),
                "channels there": ", ".join(map(str, channels)),
                "attention": (supervised if branch else "none"),
                "head": trained.head,
                "vector": net.head.weight.shape[1],
                "parameters": sum(p.numel() for p in net.parameters()),
                "of these attention": branch,
            }
        )
    return pd.DataFrame(rows)


def recipe(run: "Run") -> pd.DataFrame:
    """How the networks were trained, a row a setting."""
    from dfnb import training

    words = {"precision": "mixed precision", "seeds": "seeds of the trainings"}
    settings = {words.get(key, key): value for key, value in training.describe(run.profile).items()}
    shares = dict(run.blender.fakes)
    degraded = {
        name.removesuffix("_probability"): share
        for name, share in asdict(run.blender.degradation).items()
        if name.endswith("_probability") and share
    }
    settings |= {"ArcFace s, m (rad)": f"{run.profile.arcface.scale:g}, {run.profile.arcface.margin:g}"}
    settings |= {
        "training faces": len(run.store("train")),
        "self-blending": run.profile.sbi.preset,
        "hull variation": "on" if run.blender.hull_variation else "off",
        "kinds of fake": ", ".join(
            f"{100 * share / sum(shares.values()):.0f} % {kind}" for kind, share in shares.items()
        ),
        "degraded pairs": ", ".join(f"{100 * share:.0f} % {name}" for name, share in degraded.items()) or "none",
    }
    return pd.DataFrame({"setting": list(settings), "value": [str(value) for value in settings.values()]})


def names(run: "Run") -> list[str]:
    """The run's networks by name, each once, in the profile's order."""
    return list(dict.fromkeys(network.name for network in run.networks))


def compared(run: "Run", part: str | None = None) -> list[str]:
    """`names`, after detectors of others and ensembles (`Run.compared`). part: only those with scores of it."""
    return list(dict.fromkeys(n.name for n in run.compared if part is None or part in run.parts_of(n)))


def video_results(run: "Run") -> pd.DataFrame:
    """`Run.results` by video, with the face-size rule as the profile has it; held-out SBI pairs by face."""
    table = run.results()
    chosen = (table["level"] == "video") & (table["size_rule"] == run.profile.evaluate.size_rule)
    return table[chosen | (table["part"] == "sbi")].reset_index(drop=True)


def wide(results: pd.DataFrame) -> pd.DataFrame:
    """A row per network, a column per set: AUC with its 95 % interval.

    Several seeds: their mean, the interval of one training (bounds averaged over seeds) and the spread over seeds.
    """
    rows = []
    for name, cells in results.groupby("network", sort=False):
        row: dict[str, Any] = {"network": look(name).label}
        for dataset, cell in cells.groupby(set_name(cells), sort=False):
            text = f"{cell['auc'].mean():.3f} ({cell['low'].mean():.3f} to {cell['high'].mean():.3f})"
            row[dataset] = text + (f" ± {cell['auc'].std():.3f} over {len(cell)} seeds" if len(cell) > 1 else "")
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")  # somebody's detector may lack scores of a set


def set_name(results: pd.DataFrame) -> pd.Series:
    return results["dataset"].where(results["part"] != "sbi", "held-out SBI pairs")


def intervals(results: pd.DataFrame) -> pd.DataFrame:
    """Both intervals of `Run.results`: over groups of samples that belong together, and each sample by itself."""

    def interval(low: str, high: str) -> list[str]:
        return [f"{a:.3f} to {b:.3f}" for a, b in zip(results[low], results[high], strict=True)]

    about = {"network": [look(name).label for name in results["network"]], "seed": results["seed"]}
    about |= {"set": set_name(results), "AUC": results["auc"]}
    return pd.DataFrame(
        about
        | {"95 %, over groups": interval("low", "high"), "95 %, each by itself": interval("sample_low", "sample_high")}
    )


def faces_found(coverage: pd.DataFrame) -> str:
    """`Run.coverage` in words: how many videos and frames have a face, and which videos were lost."""
    total = coverage[["listed", "videos_with_face", "frames", "frames_with_face"]].sum()
    text = f"Of {total['listed']} videos, **{total['videos_with_face']}** have at least one face; of {total['frames']} "
    text += f"decoded frames, **{total['frames_with_face']}** do. "
    lost = "; ".join(
        f"{row.lost} of {row.dataset}, {row.method}" for row in coverage[coverage["lost"] > 0].itertuples()
    )
    return text + (f"Videos without a face (scored 0.5 in a test): {lost}." if lost else "No video was lost.")


def counts(results: pd.DataFrame) -> str:
    """How many real and fake samples each AUC of a results table rests on, in words."""
    table = results.assign(set=set_name(results)).drop_duplicates("set")
    return "; ".join(f"{row.set}: {row.real} real, {row.fake} fake" for row in table.itertuples())


def paired(
    run: "Run",
    part: str,
    reference: str,
    others: Sequence[str],
    spread: comparisons.SeedSpread | None = None,
    scored_alone: bool = False,
) -> pd.DataFrame:
    """One network against others on the same videos (part "sbi": the same faces), over all seeds the run has.

    spread: over seeds, from a sweep; used where the run itself has one seed. scored_alone: on the videos alone that the
    reference has a score of; otherwise 0.5 stands for a missing score, as for a video without a face.
    Columns: network, auc, reference_auc (means over seeds), difference (reference minus network), low, high (95 %), p
    (bootstrap over groups, and seeds where known: `comparisons`), p_holm (p corrected for the number of comparisons),
    p_delong (paired DeLong test of the first seeds, each video by itself), seeds, seed_sd (of one AUC; NaN: unknown).
    """
    spread = seed_spread(run, part) or spread
    labels, groups, ours = _aligned(run, part, reference)
    kept, rows = np.ones(len(labels), bool), []
    if scored_alone:
        videos = run.video_scores(part, reference).set_index(labels.index.names)
        kept = (videos["frames"] > 0).loc[labels.index].to_numpy()
    for name in others:
        same, _, theirs = _aligned(run, part, name)
        if not same.index.equals(labels.index):
            raise ValueError(f"{reference} and {name} were scored on different samples of {part}")
        mine, theirs = ours[:, kept], theirs[:, kept]
        fake = labels.to_numpy()[kept]
        sampling = comparisons.over_groups(fake, mine, theirs, groups[kept])
        outcome = comparisons.with_seeds(sampling, spread, (len(ours), len(theirs)))
        rows.append(
            {
                "network": name,
                "auc": comparisons.mean_auc(fake, theirs),
                "reference_auc": comparisons.mean_auc(fake, mine),
                "difference": outcome.difference,
                "low": outcome.low,
                "high": outcome.high,
                "p": outcome.p_value,
                "p_delong": metrics.compare(fake, mine[0], theirs[0]).p_value,
                "seeds": min(len(ours), len(theirs)),
                "seed_sd": np.sqrt(spread.variance) if spread else np.nan,
            }
        )
    table = pd.DataFrame(rows)
    table.insert(7, "p_holm", holm(table["p"].to_numpy()))
    return table


def paired_by_set(
    run: "Run",
    parts: Sequence[str],
    reference: str,
    other: str,
    spread: Callable[[str], comparisons.SeedSpread | None],
) -> pd.DataFrame:
    """`paired` for two networks on several parts, a row each; p_holm is corrected for the number of parts.

    spread: of a part. Columns: part, set (the part in words), and those of `paired`.
    """
    found = [paired(run, part, reference, [other], spread(part)) for part in parts]
    table = pd.concat(found, ignore_index=True).assign(p_holm=lambda rows: holm(rows["p"].to_numpy()))
    table.insert(0, "part", list(parts))
    table.insert(1, "set", [title(run, part) for part in parts])
    return table


def seed_spread(run: "Run", part: str) -> comparisons.SeedSpread | None:
    """The spread over the run's own seeds on a part; None where it has one."""
    if len({network.seed for network in run.networks}) == 1:
        return None
    results = video_results(run)
    return comparisons.seed_spread(results[results["part"] == part])


def _aligned(run: "Run", part: str, name: str) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """`comparisons.align` of all seeds of a network."""
    read = run.scores if part == "sbi" else run.video_scores
    return comparisons.align([read(part, name, network.seed) for network in run.compared if network.name == name])


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`paired`, or a table of angles (`analysis`), with networks by their labels and columns in words."""
    words = {
        "to_real": "angle to real, °", "to_fake": "angle to fake, °", "d_prime": "d′ from the real",
        "auc": "its AUC", "reference_auc": "AUC of the reference", "difference": "reference minus it (95 %)",
        "p": "p", "p_holm": "p, corrected",
        "p_delong": "p, DeLong", "seeds": "seeds",
    }  # fmt: skip
    if "network" in table:
        table = table.assign(network=[look(name).label for name in table["network"]])
    if {"difference", "high"} <= set(table):
        bounds = table[["difference", "low", "high"]]
        smallest = comparisons.smallest_of(table["low"], table["high"])
        table = table.assign(difference=list(itertools.starmap(with_interval, bounds.to_numpy())))
        table = table.drop(columns=["low", "high", "seed_sd"])
        table.insert(table.columns.get_loc("difference") + 1, "smallest that could be seen", smallest)
    return table.rename(columns=words)


def stacked(by_network: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of several networks, one below the other, with the network's name in front."""
    together = pd.concat([table.assign(network=name) for name, table in by_network.items()], ignore_index=True)
    return together[["network", *[column for column in together.columns if column != "network"]]]


def per_method(run: "Run", part: str = "ff", networks: Sequence[str] | None = None) -> pd.DataFrame:
    """Video AUC of every network for each manipulation of a part against all its real videos; first seed.

    networks: by name; all that have scores of the part unless given.
    """
    rows = []
    for name in compared(run, part) if networks is None else networks:
        videos = run.video_scores(part, name)
        for method in pd.unique(videos.loc[videos["label"] == "fake", "method"]):
            chosen = videos[(videos["label"] == "real") | (videos["method"] == method)]
            value = metrics.auc_groups(chosen["label"] == "fake", chosen["score"], chosen["group"])
            rows.append(
                {"network": name, "seed": run.find(name).seed, "dataset": method, **value._asdict()}
                | {"real": int((chosen["label"] == "real").sum()), "fake": int((chosen["method"] == method).sum())}
            )
    return pd.DataFrame(rows).rename(columns={"value": "auc"})


def protocols(results: pd.DataFrame) -> pd.DataFrame:
    """AUC by video and by frame, with and without the face-size rule, side by side: a row per network and set."""
    table = results[results["part"] != "sbi"]
    protocol = table["level"] + np.where(table["size_rule"], ", size rule", ", all faces")
    wide_ = table.assign(protocol=protocol).pivot_table(
        index=["network", "dataset"], columns="protocol", values="auc", sort=False, aggfunc="mean"
    )
    wide_ = wide_.reset_index()
    wide_["network"] = [look(name).label for name in wide_["network"]]
    wide_.columns.name = None
    return wide_


def operating(run: "Run", fprs: Sequence[float] = (0.01, 0.1)) -> pd.DataFrame:
    """Beside the AUC: average precision, EER, fakes found at few false alarms, calibration; first seed."""
    rows = []
    for part, name in [(at, name) for at in run.tests for name in compared(run, at)]:
        videos = run.video_scores(part, name)
        labels, scores = (videos["label"] == "fake").to_numpy(), videos["score"].to_numpy()
        rows.append(
            {
                "set": run.title(part),
                "network": look(name).label,
                "average precision": metrics.average_precision(labels, scores),
                "equal error rate": metrics.eer(labels, scores),
                **{f"fakes found at {fpr:.0%} false alarms": metrics.tpr_at_fpr(labels, scores, fpr) for fpr in fprs},
                "calibration error": metrics.calibration_error(labels, scores),
                "videos": len(videos),
                "without a face": int((videos["frames"] == 0).sum()),
            }
        )
    return pd.DataFrame(rows)


def against_published(results: pd.DataFrame, era: str = "CNN") -> pd.DataFrame:
    """Reported, reproduced, and the difference with its 95 % interval: a row per published number that we can test.

    results: `Run.results` of the real sets. Ours is the AUC by video under SBI's face-size rule, the mean over seeds.
    The paper's section 4 doesn't name the set its first three numbers are on, so these are compared with held-out SBI
    pairs (by face) and with Celeb-DF. era: "CNN" (the paper, SBI) or "later": methods of the two are kept apart.

    Columns: network, method, trained on, set, source, reported, reproduced, difference (reproduced - reported), low,
    high, seeds.
    The interval is that of our number alone, as nothing is known of the other's: the test videos' share is the
    half-width over groups, averaged over seeds; several seeds add Student's half-width of their mean, the two as
    independent.
    Raises ValueError for results of the embedded benchmark, which must not stand beside published numbers.
    """
    if results["dataset"].str.contains("-like").any():
        raise ValueError("the embedded benchmark's numbers can't be compared with published ones")
    video = results[(results["level"] == "video") & results["size_rule"]]
    by_part = {part: rows for part, rows in [*video.groupby("part"), ("sbi", results[results["part"] == "sbi"])]}
    rows = []
    for reported in _published_rows():
        scored = by_part.get(reported["part"], results.iloc[:0])
        scored = scored[scored["network"] == reported["network"]]
        if reported["era"] != era or scored.empty:
            continue
        value, half = _mean_with_half_width(scored)
        difference = value - reported["reported"]
        where = "held-out SBI pairs" if reported["part"] == "sbi" else scored["dataset"].iloc[0]
        rows.append(
            {
                "network": look(reported["network"]).label,
                "method": reported["method"],
                "trained on": reported["trained_on"],
                "set": where,
                "source": reported["source"],
            }
            | {"reported": reported["reported"], "reproduced": value, "difference": difference}
            | {"low": difference - half, "high": difference + half, "seeds": len(scored)}
        )
    columns = ["network", "method", "trained on", "set", "source", "reported", "reproduced", "difference"]
    columns += ["low", "high", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def _published_rows() -> list[dict[str, Any]]:
    """Every published number: era, method, network (ours), part, reported, source."""
    rows = []
    paper_, final = published(), "proposed-arcface"
    inside = paper_["taps"] | paper_["arcface"]
    mine = {"era": "CNN", "method": "the paper", "trained_on": "FF++ originals"}
    rows += [
        mine | {"network": name, "part": part, "reported": value, "source": f"section 4, {where}"}
        for name, value in inside.items()
        for part, where in (("sbi", "if on SBI images"), ("celeb-df", "if on Celeb-DF"))
        if (name, part) != (final, "celeb-df")
    ]
    parts = {"Celeb-DF": "celeb-df", "FFIW": "ffiw"}
    rows += [
        mine | {"network": final, "part": parts[name], "reported": value, "source": "section 4"}
        for name, value in paper_["sets"].items()
    ]
    text = (resources.files("dfnb") / "plots" / "published.yaml").read_text(encoding="utf-8")
    for method in yaml.safe_load(text)["methods"]:
        about = {key: method[key] for key in ("era", "method", "network", "trained_on", "source")}
        rows += [about | {"part": part, "reported": value} for part, value in method["sets"].items()]
    return rows


def _mean_with_half_width(scored: pd.DataFrame) -> tuple[float, float]:
    """AUC over seeds and the half-width of its 95 % interval, see `against_published`."""
    seeds = len(scored)
    sampling = float(((scored["high"] - scored["low"]) / 2).mean())
    spread = scored["auc"].std(ddof=1) / np.sqrt(seeds) * student.ppf(0.975, seeds - 1) if seeds > 1 else 0.0
    return float(scored["auc"].mean()), float(np.hypot(sampling, spread))
