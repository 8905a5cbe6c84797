"""A trained network made ready to score: its arithmetic, and batch norms folded into the convolutions before them.

"float32" is the network as it was trained and validated. "fast" is for processors: each batch norm that follows a
convolution becomes part of it, which in eval mode it can (Jacob et al. 2018, section 3.2), and where the processor
has bfloat16 instructions convolutions use them. EfficientNet-B4 at 380 px then scores more than twice as many images a
second as eager float32 (`figures/bench-*.csv`). Folding moves probabilities by no more than rounding does; bfloat16
moves them, and those of a network that learned more than the AUC of its videos (`figures/agreement-demo.csv`, by
`dfnb.bench.agreement`): where a single answer counts, ask for float32.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dfnb import arithmetic
from dfnb.network import Network, Output
from dfnb.profile import Precision


class Scorer:
    """A network ready to score: `Scorer(net, size)(images)`, called without gradients.

    net: in eval mode; it can still be trained afterwards. size: side of its input, pixels.
    Attributes: size, mean, std, and how, in words: see `choose`.
    """

    def __init__(self, net: Network, size: int, precision: Precision = "float32") -> None:
        self.size, self.mean, self.std = size, net.mean, net.std
        self.device = next(net.parameters()).device
        self.how = arithmetic.choose(precision, size, self.device)
        self.net = (folded(net) if "folded" in self.how else net).to(memory_format=torch.channels_last)

    def __call__(self, images: Tensor) -> Output:
        """images: (B, 3, S, S) float32, in the backbone's normalisation."""
        images = images.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled="bfloat16" in self.how):
            return self.net(images)


def folded(net: Network) -> Network:
    """A copy for scoring alone, in which batch norms that directly follow a convolution are part of it.

    Which do is seen by sending one small image through. A norm's activation stays where it was.
    """
    net = copy.deepcopy(net).eval().requires_grad_(False)
    pairs = _pairs(net)
    for norm, convolution in pairs.items():
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if child in pairs:
                # timm's batch norms hold dropout and activation
                setattr(parent, name, nn.Sequential(*child.children()) or nn.Identity())
    return net


def _pairs(net: Network) -> dict[nn.Module, nn.Conv2d]:
    """Each batch norm that takes a convolution's output as it is, and that convolution."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # by id; holding the tensors keeps ids from being used again
    pairs: dict[nn.Module, nn.Conv2d] = {}

    def after(layer: nn.Module, _: tuple, output: Tensor) -> None:
        made[id(output)] = (layer, output)

    def before(layer: nn.Module, inputs: tuple) -> None:
        if id(inputs[0]) in made:
            pairs[layer] = made[id(inputs[0])][0]

    hooks = []
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(after))
        elif isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats:
            hooks.append(layer.register_forward_pre_hook(before))
    with torch.no_grad():
        some = next(net.parameters())
        net(some.new_zeros(1, 3, net.smallest, net.smallest))
    for hook in hooks:
        hook.remove()
    return pairs
