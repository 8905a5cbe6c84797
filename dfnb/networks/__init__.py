"""Attention branch, ArcFace, taps and variants; ImageNet weights in, checkpoints out.

Comes in: images (B, 3, S, S). Goes out: `Output`: logits, attention map, embedding.
Where is what: the map in `attention`, the margin in `arcface`, taps and forward pass in `network`, the compared
networks in `variants`, ImageNet weights in `pretrained`, files in `checkpoint` (and `header`, read without torch).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arcface": ["ArcFace"],
        "attention": ["AttentionBranch"],
        "variants": ["VARIANTS", "Variant"],
        "header": ["metadata"],
        "network": ["Network", "Output", "build", "describe", "normalisation"],
        "checkpoint": ["load", "save", "trained_for"],
    },
)
