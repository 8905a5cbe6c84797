"""A checkpoint as a folder that others can use: safetensors, ONNX, how an image gets in, and a model card."""

import json
from pathlib import Path
from typing import Any

import onnx
import pandas as pd

from dfnb import networks
from dfnb.common import environment, files
from dfnb.common.errors import UserError
from dfnb.networks.checkpoint import IMPORTED
from dfnb.networks.hub import HUB_FILE
from dfnb.networks.network import CLASSES
from dfnb.plots.page import render
from dfnb.scoring import inference
from dfnb.scoring.score_table import MARGIN

TEMPLATE = Path(__file__).parent / "exported_card.md.j2"
GRAPH, CONFIG, CARD = "model.onnx", "config.json", "README.md"
FORMAT = 1  # version of config.json


def export(checkpoint: Path, folder: Path, results: Path | None = None) -> list[Path]:
    """Write a checkpoint into a folder as model.safetensors (its very bytes), model.onnx, config.json and README.md.

    The ONNX file holds config.json too, as its metadata entry "dfnb". results: the results.csv with its numbers, of the
    run it lies in by default. Returns the files.
    Raises UserError where it is no checkpoint of ours, or the results are of another.
    """
    checkpoint = networks.located(checkpoint)
    size, domain = networks.trained_for(checkpoint)
    net, digest = networks.load(checkpoint), files.sha256(checkpoint)
    config = _config(net, size, domain, digest, networks.metadata(checkpoint))
    graph = onnx.load_model_from_string(inference.graph_of(net, size))
    onnx.helper.set_model_props(graph, {"dfnb": json.dumps(config, sort_keys=True)})
    found = _results(checkpoint, digest, results)
    card = render(
        TEMPLATE, config=config, imported=domain.startswith(IMPORTED), rendered=domain == "embedded benchmark",
        description=networks.describe(net), results=None if found is None else found.to_dict("records"),
        versions=environment.versions("torch", "timm"),
    )  # fmt: skip
    contents = {HUB_FILE: checkpoint.read_bytes(), GRAPH: graph.SerializeToString()}
    for name, content in contents.items():
        with files.replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    files.write_json(folder / CONFIG, config)
    files.write_text(folder / CARD, card)
    return [folder / name for name in (*contents, CONFIG, CARD)]


def _config(net: networks.Network, size: int, domain: str, digest: str, about: dict[str, Any]) -> dict[str, Any]:
    """Everything that scoring without this project needs: how a frame becomes an input, and a score a video's."""
    return {
        "format": FORMAT,
        "network": net.settings,
        "trained_on": domain,
        "imported": about.get("imported"),
        "checkpoint_sha256": digest,
        "input": {
            "name": "images",
            "dtype": "float32",
            "shape": ["count", 3, size, size],
            "channels": "RGB",
            "scale": 1 / 255,
            "mean": list(net.mean),
            "std": list(net.std),
            "crop": f"the face's box from the brows to the chin, from dlib's frontal detector, grown by {MARGIN} "
            "of its width and height on each side, clipped to the frame, resized to a square, aspect not kept",
            "margin": MARGIN,
            "resize": "bilinear (OpenCV's INTER_LINEAR); INTER_AREA where both sides shrink and one to less than 2/3",
        },
        "output": {
            "name": "logits",
            "classes": list(CLASSES),
            "score": f"softmax(logits)[{CLASSES.index('fake')}]",
            "video": "of each frame the highest score among its faces of at least half the largest one's area; of a "
            "video the mean over its frames with a face, 32 evenly spaced",
        },
    }


def _results(checkpoint: Path, digest: str, given: Path | None) -> pd.DataFrame | None:
    """The network's rows of results.csv, by video under the size rule; None where its run has none of it."""
    run = checkpoint.resolve().parents[:3]  # runs/PROFILE/networks/NETWORK/checkpoint.safetensors
    for file in [given] if given else [folder / "results.csv" for folder in run]:
        if not (given or file.is_file()):
            continue
        try:
            table = pd.read_csv(file)
            rows = table[table["checkpoint"] == digest]
            if "level" in table:
                rows = rows[(rows["level"] == "video") & rows["size_rule"]]
            rows = rows[["dataset", "auc", "low", "high", "real", "fake"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file}: can't be read as results ({error}); run `dfnb evaluate` again") from None
        if len(rows):
            return rows
    if given:
        raise UserError(f"{given}: no numbers of {checkpoint} in it; name the results of this very file")
    return None
