"""A real face -> (real, self-blended fake, mask), and the pairs that networks learn from.

Comes in: a face with its 68 landmarks. Goes out: a `SelfBlend`, or through `PairDataset` the tensors of a pair.
Where is what: all settings and the random choices of a fake in `self_blender`, settings by name in `presets`; its mask
in `masks`, blending in `blend`, other ways to make a fake in `fakes`; colour, sharpness, JPEG and mirroring in
`augment`, what a pair goes through afterwards in `degrade`; crops and tensors in `pairs`, their order in `batches`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "blend": ["Draw", "SelfBlend", "Steps"],
        "self_blender": ["SelfBlender"],
        "fakes": ["FAKES"],
        "presets": ["PRESETS"],
        "pairs": ["Images", "Pair", "PairDataset"],
        "batches": ["Batches", "PairSampler", "init_worker"],
    },
)
