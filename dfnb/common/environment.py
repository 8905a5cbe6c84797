"""What numbers were made with: versions and hardware."""

import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from dfnb import __version__

# What the numbers rest on: its module, and the distributions that bring it; conda and others name some differently.
PACKAGES = {
    "torch": ("torch", "torch"),
    "timm": ("timm", "timm"),
    "dlib": ("dlib", "dlib-bin", "dlib"),
    "opencv": ("cv2", "opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "numpy": ("numpy", "numpy"),
    "scikit-learn": ("sklearn", "scikit-learn"),
    "av": ("av", "av"),
    "warp-lang": ("warp", "warp-lang"),
    "anny": ("anny", "anny"),
}


def versions(*names: str) -> dict[str, str]:
    """The versions of these entries of `PACKAGES`, all by default; what isn't installed is left out.

    Where no distribution says it (conda's OpenCV has no such record), the module does, if it is in use.
    """
    found = {name: _version(*PACKAGES[name]) for name in names or PACKAGES}
    return {name: value for name, value in found.items() if value}


def _version(module: str, *distributions: str) -> str:
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return str(getattr(sys.modules.get(module), "__version__", ""))


def describe() -> dict[str, Any]:
    """hardware (processor, torch's threads, GPUs), python, dfnb and the versions of what the numbers rest on."""
    import torch

    threads = torch.get_num_threads()
    hardware = f"{processor()}, {threads} thread{'s' if threads > 1 else ''}"
    if torch.cuda.is_available():
        hardware += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return {"hardware": hardware, "python": platform.python_version(), "dfnb": __version__, "versions": versions()}


def processor() -> str:
    """The processor's name, as far as the system gives it; with family and model where the name has no number.

    (Virtual machines may say "AMD EPYC" of every generation.)
    """
    cpu = Path("/proc/cpuinfo")
    facts = dict(re.findall(r"^([\w ]+?)\s*: (.+)$", cpu.read_text(), re.MULTILINE)) if cpu.exists() else {}
    name = facts.get("model name", "").strip() or platform.processor() or platform.machine()
    if {"cpu family", "model"} <= set(facts) and not re.search(r"\d", name):
        name += f" (family {facts['cpu family']} model {facts['model']})"
    return name
