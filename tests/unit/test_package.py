"""The wheel: built from a copy of the tree, installed where nothing else is, it runs and holds all its files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from askel_tui import __version__
from tests.support.environment import as_user
from tests.support.files import ROOT
from tests.support.workflows import of_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(540)]

LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "dist", "build", "screenshots")


@dataclass(frozen=True)
class Installed:
    """The wheel, and the environment that it is installed in; commands run in a folder of their own."""

    wheel: Path
    environment: Path
    folder: Path

    def run(self, command: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment; fails unless it exits with `code`."""
        kept = {name: value for name, value in as_user().items() if not name.startswith(("ASKEL_", "PYTHON"))}
        done = subprocess.run(
            [self.environment / "bin" / command, *words],
            cwd=self.folder,
            env={**kept, "ASKEL_HOME": str(self.folder / "home"), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{command} {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built and installed once for all tests of this file; pip may ask its index for the dependencies."""
    base = tmp_path_factory.mktemp("package")
    tree = base / "tree"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(base),
        str(tree),
    ]
    subprocess.run(build, check=True, env=as_user(), timeout=300, stdin=subprocess.DEVNULL)
    (wheel,) = base.glob("*.whl")
    environment = base / "empty"
    venv.create(environment, with_pip=True)
    folder = base / "elsewhere"
    folder.mkdir()
    found = Installed(wheel, environment, folder)
    found.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    return found


def test_themes_and_data_are_inside_and_nothing_of_the_tests(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        inside = set(wheel.namelist())
    themes = {f"askel_tui/themes/{path.name}" for path in (ROOT / "themes").iterdir()}
    assert len(themes) >= 5
    assert themes <= inside
    package = ROOT / "askel_tui"
    files = {
        f"askel_tui/{path.relative_to(package)}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "askel_tui/contract/data/operations.json" in files
    assert files <= inside
    assert all(name.startswith(("askel_tui/", "askel_tui-")) for name in inside)
    assert any(name.endswith("/licenses/LICENSE") for name in inside)


def test_installed_files_are_found_without_the_tree(installed: Installed) -> None:
    code = (
        "import askel_tui, json, pathlib; from askel_tui.contract.endpoints import NEWEST, endpoint; "
        "where = pathlib.Path(askel_tui.__file__).parent; "
        "themes = list((where / 'themes').iterdir()); "
        "print(json.dumps([str(where), endpoint(NEWEST, 'create_event').path, len(themes)]))"
    )
    where, path, themes = json.loads(installed.run("python", "-c", code).stdout)
    assert Path(where).is_relative_to(installed.environment)
    assert (path.rstrip("/"), themes) == ("/api/events", len(list((ROOT / "themes").iterdir())))


def test_the_command_says_its_version_and_what_it_can_do(installed: Installed) -> None:
    assert __version__ in installed.run("askel", "--version").stdout
    shown = installed.run("askel", "--help").stdout
    for command in ("connect", "workflow", "ingest", "dry-run", "daemon", "audit"):
        assert command in shown


def test_a_workflow_is_validated_by_the_installed_command(installed: Installed) -> None:
    good, bad = installed.folder / "good.yaml", installed.folder / "bad.yaml"
    good.write_text(of_steps("- id: welcome\n  add_to_list: Welcome Flow\n"))
    bad.write_text(of_steps("- id: welcome\n  add_to_lits: Welcome Flow\n"))
    installed.run("askel", "workflow", "validate", str(good))
    refused = installed.run("askel", "workflow", "validate", str(bad), code=3)
    assert "add_to_list" in refused.stderr + refused.stdout


def test_its_dependencies_agree_with_each_other(installed: Installed) -> None:
    installed.run("python", "-m", "pip", "check")
