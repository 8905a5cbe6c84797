"""A trained network made ready to score.

"float32" is the network as it was trained and validated, run by torch. "fast" is for processors: the same network in
float32, run by ONNX Runtime, which folds batch norms into convolutions and activations into what comes before them.
EfficientNet-B4 at 380 px then scores in two thirds of the time or less (`figures/bench-*.csv`), and probabilities move
by no more than rounding does (`tests/speed/test_agreement.py`). bfloat16 was no faster, and moved
the probabilities of networks that had learned something.
"""

import io
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dfnb.common import devices, environment
from dfnb.common.devices import Precision
from dfnb.networks import Network, Output
from dfnb.scoring import score_table

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class Scorer:
    """A network ready to score: `Scorer(net, size)(images)`, called without gradients.

    net: in eval mode; it can still be trained afterwards, which "fast" then doesn't follow. size: side of its input,
    pixels. Attributes: size, mean, std, device, how (`devices.choose`), and made_with, for the record.
    """

    def __init__(self, net: Network, size: int, precision: Precision = "float32") -> None:
        self.size, self.mean, self.std = size, net.mean, net.std
        self.device = next(net.parameters()).device
        self.how = devices.choose(precision, size, self.device.type)
        self.session = session(net, size) if self.how == devices.FAST else None
        self.net = net if self.session else net.to(memory_format=torch.channels_last)
        self.made_with = {
            "how": score_table.how(self.how, self.device.type),
            "on": devices.in_words(self.device.type),
            "threads": torch.get_num_threads(),
            "versions": environment.versions("torch", "timm", "opencv"),
        }

    def __call__(self, images: Tensor) -> Output:
        """images: (B, 3, S, S) float32, in the backbone's normalisation. attention_logits is None with ONNX Runtime."""
        if self.session is None:
            return self.net(images.to(self.device, non_blocking=True, memory_format=torch.channels_last))
        found = self.session.run(None, {"images": images.numpy(force=True)})
        logits, embedding, *attention = map(torch.from_numpy, found)
        return Output(logits, attention[0] if attention else None, embedding, None)


class _Tensors(nn.Module):
    """The outputs that scoring uses, as a tuple: a graph knows no None."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        out = self.net(images)
        return (out.logits, out.embedding, *([] if out.attention is None else [out.attention]))


def graph_of(net: Network, size: int) -> bytes:
    """The network in eval mode as an ONNX file: images (count, 3, size, size) -> logits, embedding, attention.

    The attention map is left out where the network has none.
    """
    graph = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # the older exporter takes a second instead of twenty; it remarks on checks of the input's shape, which is fixed
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Tensors(net).eval(),
            (torch.zeros(2, 3, size, size),),
            graph,
            input_names=["images"],
            output_names=["logits", "embedding", *(["attention"] if net.attention is not None else [])],
            dynamic_axes={"images": {0: "count"}},
            dynamo=False,
        )
    return graph.getvalue()


def session(net: Network, size: int) -> "InferenceSession":
    """The network in eval mode as ONNX Runtime runs it, for images (B, 3, size, size), on as many threads as torch."""
    from onnxruntime import InferenceSession, SessionOptions  # half a second, and not everybody scores

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # faces are found meanwhile
    return InferenceSession(graph_of(net, size), options, providers=["CPUExecutionProvider"])
