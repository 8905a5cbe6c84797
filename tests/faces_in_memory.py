"""Drawn faces in memory, as a face store gives them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd


class DrawnFaces:
    """A few drawn faces in memory, as a face store gives them: enough texture and a face's landmarks."""

    def __init__(self, count: int, seed: int, interrupt_at: int | None = None) -> None:
        rng = np.random.default_rng(seed)
        angle = np.linspace(0.1 * np.pi, 0.9 * np.pi, 17)
        jaw = np.stack([60 - 40 * np.cos(angle), 55 + 45 * np.sin(angle)], 1)
        rest = rng.uniform([35, 45], [85, 85], (51, 2))
        rest[:10] = np.stack([np.linspace(25, 95, 10), np.full(10, 42.0)], 1)  # the brows
        points = np.concatenate([jaw, rest]).astype(np.float32)
        smooth = rng.uniform(40, 215, (count, 15, 15, 3)).repeat(8, 1).repeat(8, 2)
        noise = rng.normal(0, 12, smooth.shape)
        self.images = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        self.faces = [
            SimpleNamespace(rgb=image, landmarks=points, box=(18.0, 18.0, 102.0, 102.0)) for image in self.images
        ]
        row = {
            "path": "drawn",
            "dataset": "drawn",
            "label": "real",
            "method": "drawn",
            "group": "g",
            "frame": 0,
            "face": 0,
        }
        self.manifest = pd.DataFrame([{**row, "video": str(k)} for k in range(count)])
        self.digest = f"drawn-{count}-{seed}"
        self.interrupt_at, self.reads = interrupt_at, 0

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> SimpleNamespace:
        self.reads += 1
        if self.reads == self.interrupt_at:
            raise KeyboardInterrupt
        return self.faces[index]
