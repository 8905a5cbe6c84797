"""What numbers were made with: versions and hardware."""

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dfnb import __version__

VERSIONS = ("torch", "timm", "dlib-bin", "opencv-python-headless", "numpy", "scikit-learn", "av", "warp-lang", "anny")


def describe() -> dict[str, Any]:
    """hardware (processor, torch's threads, GPUs), python, dfnb and the versions of what the numbers rest on."""
    import torch

    hardware = f"{processor()}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        hardware += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    versions = {name: version(name) for name in VERSIONS}
    return {"hardware": hardware, "python": platform.python_version(), "dfnb": __version__, "versions": versions}


def processor() -> str:
    """The processor's name, as far as the system tells it; with family and model where the name has no number.

    (Virtual machines may say "AMD EPYC" of every generation.)
    """
    cpu = Path("/proc/cpuinfo")
    told = dict(re.findall(r"^([\w ]+?)\s*: (.+)$", cpu.read_text(), re.MULTILINE)) if cpu.exists() else {}
    name = told.get("model name", "").strip() or platform.processor() or platform.machine()
    if {"cpu family", "model"} <= set(told) and not re.search(r"\d", name):
        name += f" (family {told['cpu family']} model {told['model']})"
    return name
