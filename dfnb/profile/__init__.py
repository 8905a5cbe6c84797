"""One frozen, validated description of a run, and the profiles that ship (the YAML files beside this one).

Comes in: YAML and `--set KEY=VALUE`. Goes out: a `Profile`; an unknown key is an error, never a silent default.
Public: `load`, `changed`, `names`, `resolve`, `parse_overrides`, `read_yaml`, `validated`, and the sections.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "schema": [
            "Profile",
            "Section",
            "Demo",
            "Data",
            "Faces",
            "Sbi",
            "Model",
            "ArcFace",
            "Train",
            "Evaluate",
            "Robustness",
            "Precision",
            "Head",
            "Variant",
        ],
        "paths": ["resolve"],
        "reading": ["load", "changed", "names", "parse_overrides", "read_yaml", "validated"],
    },
)
