"""The embedded benchmark: rendered heads, manipulations with their true masks; no real people.

Comes in: the section `demo` of a profile. Goes out: videos in the official layouts of FF++, Celeb-DF-v2 and FFIW.
Public: `build`, `true_masks`, `MANIPULATIONS`. To add a manipulation, make an entry in `manipulations`.

On disk: `builder` builds, `marker` says what was built, `layout` plans the videos, `video` and `ground_truth` read and
write frames and masks. Forging: `studio` films and forges, `manipulations` is the registry, `pasting` its tools,
`composites` takes forgery and seam apart. Drawing: `heads` renders; `anatomy` and `vertices` are the mesh, `person` and
`scene` what is drawn, `textures`, `hair`, `facial_hair`, `strands` and `wig` skin and hair; `raster`, `materials`,
`shading`, `film` and `background` make the picture.

Apart from all this, `forgeries` forges real faces by other people's methods, `forgery_folder` those of a folder.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "builder": ["build"],
        "ground_truth": ["true_masks"],
        "manipulations": ["MANIPULATIONS"],
    },
)
