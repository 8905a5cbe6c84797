"""The command in a shell: its help is in groups, and commands, options, profiles and networks can be completed."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dfnb import profile
from dfnb.cli import app


def complete(line: str, tmp_path, shell: str = "bash") -> list[str]:
    """What the shell would offer for a line that ends where the cursor is."""
    words = line.split(" ")
    asked = {"_DFNB_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'dfnb'; from dfnb.cli import app; app(prog_name='dfnb')",
    ]
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, env={**os.environ, **asked, "PYTHONPATH": path}, capture_output=True, text=True, cwd=tmp_path
    )
    return [offered.split("\t")[0] for offered in done.stdout.split("\n") if offered]


def test_commands_options_profiles_and_networks_are_completed(tmp_path):
    (tmp_path / "mine.yaml").touch()
    assert complete("dfnb eva", tmp_path) == ["evaluate"]
    assert complete("dfnb report --pub", tmp_path) == ["--publish"]
    assert complete("dfnb train --profile ", tmp_path) == [*profile.names(), "mine.yaml"]
    assert complete("dfnb train --variant net", tmp_path) == ["network1", "network2"]


def test_fish_is_told_what_a_command_is_for(tmp_path):
    assert complete("dfnb rep", tmp_path, "fish") == ["report"]


def helped(*words: str) -> str:
    """The help a command prints, in this process."""
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="dfnb", env={"COLUMNS": "100"})
    assert done.exit_code == 0
    return done.stdout


def test_help_groups_the_commands():
    said = helped()
    places = [said.index(f" {group} ") for group in ("Report", "Steps of the report", "Your own videos")]
    assert places == sorted(places)
    for command in ("report", "prepare", "train", "evaluate", "score"):
        assert f" {command} " in said


@pytest.mark.parametrize("command", ["report", "demo", "prepare", "train", "evaluate", "score"])
def test_every_command_says_what_it_reads_and_writes(command):
    said = helped(command)
    assert "Reads" in said
    assert "rites" in said


DROPPED = """
import os, signal, time
from dfnb.common.shutdown import in_one_line

class Late:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})  # its handler's error is raised in here, where Python drops it

os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.{name}))
with in_one_line():
    if {fork}:
        os.fork() or os._exit(0)
    else:
        Late()
    time.sleep(20)
    print("went on")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("fork", [True, False])
def test_a_stop_that_comes_where_errors_are_dropped_still_stops(name, status, fork):
    code = DROPPED.format(name=name, fork=fork)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.splitlines() == [f"dfnb: stopped ({name}); what is finished is kept"]
