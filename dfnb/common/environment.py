"""What numbers were made with: versions and hardware."""

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dfnb import __version__

# What the numbers rest on, and the distributions that bring it: conda and others call some by another name.
DISTRIBUTIONS = {
    "torch": ("torch",),
    "timm": ("timm",),
    "dlib": ("dlib-bin", "dlib"),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "numpy": ("numpy",),
    "scikit-learn": ("scikit-learn",),
    "av": ("av",),
    "warp-lang": ("warp-lang",),
    "anny": ("anny",),
}


def versions(*names: str) -> dict[str, str]:
    """The versions of these entries of `DISTRIBUTIONS`, all by default; what isn't installed is left out.

    Where no distribution says it (conda's OpenCV has no such record), the module's own `__version__` does.
    """
    found = {}
    for name in names or DISTRIBUTIONS:
        for distribution in DISTRIBUTIONS[name]:
            try:
                found[name] = version(distribution)
                break
            except PackageNotFoundError:
                continue
    for name, module in (("dlib", "dlib"), ("opencv", "cv2")):
        if name in (names or DISTRIBUTIONS) and name not in found:
            try:
                found[name] = str(__import__(module).__version__)
            except ImportError:
                continue
    return found


def describe() -> dict[str, Any]:
    """hardware (processor, torch's threads, GPUs), python, dfnb and the versions of what the numbers rest on."""
    import torch

    hardware = f"{processor()}, {torch.get_num_threads()} threads"
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
