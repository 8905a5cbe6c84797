"""Attention branch, ArcFace, taps and variants; ImageNet weights in, checkpoints out.

Comes in: images (B, 3, S, S). Goes out: `Output`: logits, attention map, embedding.
Where is what: the attention map in `attention`, the margin in `arcface`, taps and forward pass in `network`; the
registries in `variants` and `heads`; ImageNet weights in `pretrained`, files in `checkpoint` and `tensors`, on the hub
in `hub`; networks of other projects in `importing`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arcface": ["ArcFace"],
        "attention": ["AttentionBranch"],
        "heads": ["HEADS", "Head"],
        "variants": ["VARIANTS", "Variant"],
        "network": ["Network", "Output", "build", "describe", "normalisation"],
        "checkpoint": ["load", "metadata", "save", "trained_for"],
        "hub": ["located"],
        "importing": ["SOURCES", "convert"],
    },
)
