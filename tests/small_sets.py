"""The sets in small: folders, empty files and lists as their authors lay them out."""

import json
from pathlib import Path

FAKES = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")


def touch(file: Path, text: str = "x") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def make_ff(root: Path, compression="c23", lists_at="", videos="videos", splits=(2, 1, 1)) -> Path:
    """FaceForensics++ in small: pairs of videos for train, val and test."""
    start = 0
    for split, count in zip(("train", "val", "test"), splits, strict=True):
        pairs = [[f"{start + 2 * k:03d}", f"{start + 2 * k + 1:03d}"] for k in range(count)]
        start += 2 * count
        touch(root / lists_at / f"{split}.json", json.dumps(pairs))
        for a, b in pairs:
            for name in (a, b):
                touch(root / "original_sequences/youtube" / compression / videos / f"{name}.mp4")
            for method in FAKES:
                for name in (f"{a}_{b}", f"{b}_{a}"):
                    touch(root / "manipulated_sequences" / method / compression / videos / f"{name}.mp4")
    return root


def make_celeb(root: Path, youtube="YouTube-real", videos="", listed_as="YouTube-real") -> Path:
    names = {
        "Celeb-real": ["id0_0000", "id1_0002"],
        youtube: ["00170"],
        "Celeb-synthesis": ["id0_id1_0000", "id1_id0_0002"],
    }
    for at, stems in names.items():
        for stem in [*stems, "not_listed_0"]:
            touch(root / at / videos / f"{stem}.mp4")
    listed = "".join(
        f"{int(at != 'Celeb-synthesis')} {listed_as if at == youtube else at}/{stem}.mp4\n"
        for at, stems in names.items()
        for stem in stems
    )
    touch(root / "List_of_testing_videos.txt", listed)
    return root


def embed(root: Path) -> None:
    touch(root / "EMBEDDED_BENCHMARK.json", "{}")
