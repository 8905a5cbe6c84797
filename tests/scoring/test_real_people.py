"""A score among those of real people, against counting, a simulation of its rate, and a run's own score table."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from lab import checkpoint, heads, made  # noqa: F401 (fixtures)

from dfnb import networks
from dfnb.experiment.run import open_run
from dfnb.scoring import real_people
from dfnb.scoring.score import FaceScores


def held_out(people: int, frames: int, suffix: str, seed: int = 0) -> tuple[FaceScores, SimpleNamespace]:
    """Real faces: each person in a video (or an image) of so many frames."""
    rng = np.random.default_rng(seed)
    rows = [
        {"path": f"/faces/p{p}_{clip}{suffix}", "dataset": "faces", "video": f"p{p}_{clip}", "label": "real"}
        | {"method": "original", "group": f"p{p}", "split": "val", "frame": frame, "face": 0}
        | {"x0": 0, "y0": 0, "x1": 9, "y1": 9}
        for p in range(people)
        for clip in range(2)
        for frame in range(frames)
    ]
    manifest = pd.DataFrame(rows)
    table = manifest.drop(columns="path").assign(score=rng.random(len(rows)).astype(np.float32))
    embedding = rng.normal(3, 2, (len(rows), 5)).astype(np.float32)
    return FaceScores(table, embedding), SimpleNamespace(manifest=manifest)


def test_p_is_that_of_counting():
    about = {"image": [], "video": sorted(np.random.default_rng(0).random(50).tolist())}
    for score in (*about["video"][::7], -1.0, 0.5, 2.0):
        found = real_people.standing(score, about, "video")
        count = sum(1 for other in about["video"] if other >= score)
        assert found == real_people.Standing((1 + count) / 51, 50, count, "video")


def test_among_new_real_people_p_is_small_as_rarely_as_it_says():
    rng, rates = np.random.default_rng(1), {0.1: [], 0.05: []}
    for _ in range(400):
        about = {"video": sorted(rng.beta(2, 5, 60).tolist())}
        p = np.array([real_people.standing(x, about, "video").p for x in rng.beta(2, 5, 50)])
        for rate, seen in rates.items():
            seen.append(float((p <= rate).mean()))
    for rate, seen in rates.items():
        assert np.mean(seen) < rate + 3 * np.std(seen) / len(seen) ** 0.5
        assert np.mean(seen) > rate - 0.03  # and the bound isn't loose


@pytest.mark.parametrize(("suffix", "frames", "unit"), [(".mp4", 3, "video"), (".JPG", 1, "image")])
def test_a_record_holds_one_score_a_person_by_the_protocol(suffix, frames, unit):
    scored, store = held_out(25, frames, suffix)
    about = real_people.record(scored, store)
    expected = sorted(
        scored.table[scored.table["video"] == f"p{p}_0"].groupby("frame")["score"].max().mean() for p in range(25)
    )
    assert np.allclose(about[unit], expected, atol=1e-7)
    assert about["image" if unit == "video" else "video"] == []
    other = "image" if unit == "video" else "video"
    assert real_people.standing(0.5, about, other).unit == unit  # stands in, and says so


def test_fakes_among_the_held_out_faces_do_not_count():
    scored, store = held_out(25, 1, ".png")
    fake = scored.table["group"].isin([f"p{k}" for k in range(5)])
    mixed = FaceScores(scored.table.assign(label=np.where(fake, "fake", "real")), scored.embedding)
    assert len(real_people.record(mixed, store)["image"]) == 20


def test_too_few_people_say_nothing():
    scored, store = held_out(real_people.FEWEST - 1, 1, ".png")
    assert real_people.standing(0.5, real_people.record(scored, store), "image") is None


def test_the_distance_is_one_for_faces_alike_and_grows_with_what_is_unlike():
    scored, store = held_out(60, 2, ".mp4")
    about = real_people.record(scored, store)
    inside = real_people.distance(scored.embedding, about)
    assert 0.8 < (inside**2).mean() <= 1
    assert np.isclose((inside > about["limit"]).mean(), 1 - real_people.FAMILIAR, atol=0.005)
    outside = real_people.distance(scored.embedding + 10 * scored.embedding.std(0), about)
    assert (outside > about["limit"]).all()
    still = real_people.distance([[0.0, 2.0, 0.001]], {"centre": [0.0, 0.0, 0.0], "spread": [1.0, 1.0, 1e-6]})
    assert still[0] == pytest.approx((4 / 3) ** 0.5, rel=1e-5)  # what hardly varies decides nothing
    flat = {"centre": [0.0, 1.0], "spread": [0.0, 0.0]}
    assert (real_people.distance(np.ones((3, 2)), flat) == 0).all()


def test_words_count_what_they_say():
    assert real_people.words(real_people.Standing(13 / 401, 400, 12, "video")) == (
        "higher than 97 % of the 400 real people this network was checked on"
    )
    assert "fewer than one in 401" in real_people.words(real_people.Standing(1 / 401, 400, 0, "video"))
    lowest = real_people.words(real_people.Standing(1.0, 30, 30, "image"), "rendered heads")
    assert lowest == "no higher than any of the 30 rendered heads this network was checked on"


def test_a_trained_network_brings_its_real_people_along(made, checkpoint):  # noqa: F811
    run, net = open_run(made / "lab.yaml"), networks.load(checkpoint)
    about = networks.metadata(checkpoint)["real_people"]
    crops = torch.tensor(run.crops("validation")).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (net.mean, net.std))
    with torch.inference_mode():
        logits, _, embedding, _ = net((crops - mean) / std)
    assert np.allclose(about["image"], sorted(logits.softmax(1)[:, 1].tolist()), atol=1e-5)
    assert np.allclose(about["centre"], embedding.mean(0), atol=1e-4)
