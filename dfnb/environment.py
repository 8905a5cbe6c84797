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
    """The processor's name, as far as the system tells it."""
    cpu = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", cpu.read_text()) if cpu.exists() else None
    return model[1].strip() if model else platform.processor() or platform.machine()
