"""`make setup` on machines that lack something: run with stand-ins for Python and uv, which log their calls.

PATH holds the stand-ins and the few tools that a recipe needs, nothing else.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "make", "awk", "grep", "cat", "cp", "rm", "mkdir", "touch", "dirname")
pytestmark = pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason="needs make and Unix tools")
LOCK = """\
nvidia-cublas==13.4 ; sys_platform == 'linux' \\
    --hash=sha256:00
torch==2.15.0 \\
    --hash=sha256:01
torchmetrics==1.0 \\
    --hash=sha256:02
torchvision==0.29.2 \\
    --hash=sha256:03
"""
# beside it lie `ensurepip` and `pip` where this Python has them; an environment of its making has a copy of it
PYTHON = """\
#!/bin/sh
echo "python $*" >> "$LOG"
here=$(dirname "$0")
case "$*" in
  *"import sys"*) [ ! -e "$here/old" ] ;;
  "-c import ensurepip") [ -e "$here/ensurepip" ] ;;
  "-m pip --python"*) [ -e "$here/pip" ] && cp "$UV" .venv/bin/uv ;;
  "-m pip --version") [ -e "$here/pip" ] ;;
  "-m pip install"*) cp "$UV" .venv/bin/uv ;;
  "-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo 'PATH=.venv/bin:$PATH' > .venv/bin/activate
    case "$*" in *--without-pip*) ;; *) [ -e "$here/ensurepip" ] && touch .venv/bin/pip ;; esac ;;
esac
"""
UV = """\
#!/bin/sh
echo "uv $*" >> "$LOG"
"""


@pytest.fixture
def machine(tmp_path):
    """A project with a lock of four packages, on a machine with Python, ensurepip and pip, without uv."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "requirements.lock").write_text(LOCK)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool))
    for name, text in (("python3", PYTHON), ("a-uv", UV)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (tools / "ensurepip").touch()
    (tools / "pip").touch()
    return tmp_path


def make(machine: Path, *arguments: str) -> tuple[int, str, list[str]]:
    """The exit status, what stands on standard error, and the calls of Python and uv in their order."""
    log = machine / "log"
    log.unlink(missing_ok=True)
    environ = {"PATH": str(machine / "tools"), "LOG": str(log), "UV": str(machine / "tools" / "a-uv")}
    done = subprocess.run(["make", *arguments], cwd=machine, env=environ, capture_output=True, text=True)
    return done.returncode, done.stderr, log.read_text().splitlines() if log.exists() else []


def give_uv(machine: Path) -> None:
    shutil.copy(machine / "tools" / "a-uv", machine / "tools" / "uv")


def test_with_pip_uv_is_fetched_and_the_lock_installed_by_hash(machine):
    status, errors, calls = make(machine, "setup")
    assert (status, errors) == (0, "")
    assert [call for call in calls if " uv" in call]
    assert any("--require-hashes" in call and "-r .venv/requirements.txt" in call for call in calls)
    assert (machine / ".venv" / "requirements.txt").read_text() == LOCK
    assert make(machine, "setup")[2] == []  # nothing is done twice


@pytest.mark.parametrize("has", ["uv", "pip"])
def test_without_ensurepip_uv_or_the_pythons_own_pip_does(machine, has):
    """Slim Debian with uv; Colab, whose Python has pip."""
    (machine / "tools" / "ensurepip").unlink()
    if has == "uv":
        (machine / "tools" / "pip").unlink()
        give_uv(machine)
    status, errors, calls = make(machine, "setup")
    assert (status, errors) == (0, "")
    assert "python -m venv --clear --without-pip .venv" in calls
    assert any(call.startswith("python -m pip --python .venv/bin/python install") for call in calls) == (has == "pip")
    assert any(call.startswith("uv pip install") and "--editable ." in call for call in calls)


def test_without_ensurepip_pip_and_uv_the_package_to_install_is_named_and_nothing_removed(machine):
    (machine / "tools" / "ensurepip").unlink()
    (machine / "tools" / "pip").unlink()
    (machine / ".venv").mkdir()
    (machine / ".venv" / "kept").touch()
    status, errors, calls = make(machine, "setup")
    assert status == 2
    assert "install python3-venv" in errors.splitlines()[0]
    assert (machine / ".venv" / "kept").exists()
    assert not [call for call in calls if "venv" in call]


def test_an_old_python_is_named(machine):
    (machine / "tools" / "old").touch()
    status, errors, _ = make(machine, "setup")
    assert status == 2
    assert "older than Python 3.11" in errors.splitlines()[0]


@pytest.mark.parametrize("build", ["cpu", "cu126", "rocm6.4", "auto"])
def test_another_build_of_torch_takes_its_packages_out_of_the_lock(machine, build):
    give_uv(machine)
    status, errors, calls = make(machine, "setup", f"TORCH={build}")
    assert (status, errors) == (0, "")
    (torch,) = [call for call in calls if "--torch-backend" in call]
    assert torch.endswith(f"--torch-backend {build} torch==2.15.0 torchvision==0.29.2")
    assert (machine / ".venv" / "requirements.txt").read_text().splitlines()[0] == "torchmetrics==1.0 \\"
    assert make(machine, "setup")[2] == []  # later targets keep this build without naming it again
    assert "--torch-backend" not in " ".join(make(machine, "setup", "TORCH=default")[2])


@pytest.mark.parametrize("build", ["cuda", "gpu", "CPU", "12.6"])
def test_an_unknown_build_of_torch_is_refused_in_one_line(machine, build):
    status, errors, calls = make(machine, "setup", f"TORCH={build}")
    assert status == 2
    assert len(errors.splitlines()) == 1
    for understood in (build, "default", "cpu", "cu126", "rocm"):
        assert understood in errors
    assert not calls


def test_a_name_that_only_looks_like_a_build_is_uvs_to_refuse(machine):
    """uv knows which builds there are; its refusal ends the set-up, and the next one starts over."""
    refusing = """#!/bin/sh\ncase "$*" in *--torch-backend*) echo "no such build" >&2; exit 2 ;; esac\n"""
    (machine / "tools" / "uv").write_text(refusing)
    (machine / "tools" / "uv").chmod(0o755)
    status, errors, _ = make(machine, "setup", "TORCH=cu199")
    assert status == 2
    assert "no such build" in errors
    assert not list((machine / ".venv").glob(".ready*"))
