"""The scripts of tools/ keep what the README says of all of them. No broker is needed."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import REPOSITORY
from trials.command import SKIPPED

TOOLS = sorted(tool for tool in (REPOSITORY / "tools").iterdir() if tool.is_file() and os.access(tool, os.X_OK))
CLIENTS = REPOSITORY / "Tests/Clients"


def script(path: pathlib.Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> pathlib.Path:
    """The tools in a folder where nothing was built and nothing is installed."""
    root = tmp_path_factory.mktemp("fresh")
    for folder in ("tools", "Tests/Clients", "Benchmarks"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns(".build", "__pycache__", "*.docc"))
    return root


def help_of(tool: pathlib.Path, fresh: pathlib.Path) -> str:
    """What `--help` prints, where it may not build, install, or make a Python environment."""
    bin, done = fresh / "bin", fresh / "done"
    done.unlink(missing_ok=True)
    for program in ("swift", "swiftc", "apt-get", "sudo"):
        script(bin / program, f'echo "{program} $*" >> "{done}"', "exit 9")
    python = pathlib.Path(sys.base_prefix) / "bin/python3"  # -S: without the clients, which apt may have installed
    script(bin / "python3", f'case "$*" in "-m venv"*) echo "$*" >> "{done}"; exit 9 ;; esac', f'exec "{python}" -S "$@"')
    environment = {**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"}
    ran = subprocess.run([fresh / "tools" / tool.name, "--help"], cwd=bin, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and not ran.stderr, ran.stderr
    assert not done.exists(), done.read_text()
    return ran.stdout


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_help_tells_what_a_tool_takes_and_does_nothing_else(tool, fresh):
    assert len(help_of(tool, fresh).splitlines()) > 2


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_readme_names_each_tool_and_only_options_that_it_takes(tool, fresh):
    readme = (REPOSITORY / "README.md").read_text()
    assert f"tools/{tool.name}" in readme
    rows = [line for line in readme.splitlines() if line.startswith(f"| `tools/{tool.name}")]
    named = {option for row in rows for quoted in re.findall(r"`([^`]*)`", row) for option in re.findall(r"--[a-z-]+", quoted)}
    taken = help_of(tool, fresh)
    assert not [option for option in named if option not in taken]


def test_the_page_of_the_clients_names_each_program():
    page = (CLIENTS / "README.md").read_text()
    programs = [f"`{file.name}`" for file in CLIENTS.glob("suite/test_*.py")] + [f"tools/{tool.name}" for tool in TOOLS if "run_trial" in tool.read_text()]
    assert not [name for name in programs if name not in page]


def test_a_trial_runs_where_its_tool_was_started(tmp_path):
    """So that a relative --binary names the file that the user means."""
    root, here = tmp_path / "root", tmp_path / "here"
    here.mkdir()
    script(root / ".venv/clients/bin/python", 'echo "$PWD $PYTHONPATH $*"')
    lines = [f"source {REPOSITORY}/tools/lib.sh", f"repository={root}", "install_packages() { :; }", "python_environment() { :; }", "run_trial some --binary ./own"]
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], cwd=here, capture_output=True, text=True)
    assert ran.stdout == f"{here} {root}/Tests/Clients -m trials.some --binary ./own\n", ran.stderr


def test_a_broker_keeps_its_data_where_it_was_started(fresh, tmp_path):
    """A relative --data-dir is the user's, and an option with = is the same as in two words."""
    script(fresh / "bin/swift", "exit 0")
    script(fresh / ".build/release/millrace", 'echo "$PWD $*"')
    environment = {**os.environ, "PATH": f"{fresh / 'bin'}:{os.environ['PATH']}"}
    ran = subprocess.run([fresh / "tools/start", "--data-dir", "own", "--kafka=h:1", "--http", "h:2"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert f"{tmp_path} serve --data-dir own --kafka h:1 --http h:2\n" in ran.stdout, ran.stderr


@pytest.mark.parametrize("arguments", [["trials.kill", "--broker", "kafka"], ["trials.java_tools"]], ids=lambda arguments: arguments[0])
def test_without_an_apache_kafka_what_needs_one_is_skipped(arguments, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "MILLRACE_KAFKA"}
    ran = subprocess.run([sys.executable, "-m", *arguments], cwd=tmp_path, env={**environment, "PYTHONPATH": str(CLIENTS)}, capture_output=True, text=True)
    assert ran.returncode == SKIPPED and ran.stdout.startswith("SKIPPED: "), ran.stderr


@pytest.mark.parametrize("trial", re.findall(r"^run_trial (\w+)", "\n".join(tool.read_text() for tool in TOOLS), re.M))
def test_each_trial_asks_to_be_ended_in_order(trial):
    """Before it makes anything: what it has mounted and started would stay else."""
    home = CLIENTS / "trials"
    module = home / f"{trial}.py" if (home / f"{trial}.py").exists() else home / trial / "__main__.py"
    assert re.search(r"parse_args\(\)\n(.*\n)*?    remove_on_sigterm\(\)\n", module.read_text())
