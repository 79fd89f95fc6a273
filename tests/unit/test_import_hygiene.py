"""What is loaded for what, measured in processes of their own: a fast help, a daemon without a screen."""

from __future__ import annotations

import json

import pytest

from tests.support.processes import run_python

HEAVY = {
    "aiohttp",
    "cryptography",
    "httpx",
    "keyring",
    "phonenumbers",
    "pydantic",
    "rich",
    "sqlite3",
    "tenacity",
    "textual",
    "tinydb",
    "yaml",
}

_ASKEL = """
import contextlib, io, json, sys
from askel_tui.cli.main import main
sys.argv = ["askel", *sys.argv[1:]]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
print(json.dumps(sorted(name.partition(".")[0] for name, module in sys.modules.items() if module)))
"""

_IMPORTS = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(name.partition(".")[0] for name, module in sys.modules.items() if module)))
"""

SUB_HELPS = [
    "connect",
    "browse",
    "ingest",
    "dry-run",
    "daemon",
    "status",
    "audit",
    "hold",
    "failed",
    "doctor",
]


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], *([word, "--help"] for word in SUB_HELPS), ["workflow", "apply", "--help"]],
    ids=" ".join,
)
def test_asking_for_help_loads_nothing_heavy(words: list[str]) -> None:
    assert not HEAVY & set(json.loads(run_python(_ASKEL, *words)))


def test_the_help_of_askel_loads_none_of_its_commands() -> None:
    code = _ASKEL.replace('name.partition(".")[0] for', "name for")
    ours = {name for name in json.loads(run_python(code, "--help")) if name.startswith("askel_tui.")}
    cli = {f"askel_tui.cli.{name}" for name in ("main", "lazy_group", "error_handling", "output")}
    text = {f"askel_tui.text{name}" for name in ("", ".cells", ".json_text", ".sanitizing", ".shortening")}
    assert ours == {"askel_tui.cli", "askel_tui.core", "askel_tui.core.exit_codes"} | cli | text


def test_validating_a_workflow_loads_no_client_and_no_store(tmp_path: object) -> None:
    loaded = set(json.loads(run_python(_ASKEL, "workflow", "validate", f"{tmp_path}/none.yaml")))
    assert not loaded & {"aiohttp", "httpx", "sqlite3", "keyring"}


def test_the_daemon_loads_no_screen() -> None:
    modules = (
        "askel_tui.cli.commands.daemon",
        "askel_tui.sync.engine.daemon",
        "askel_tui.store.sqlite.journal",
        "askel_tui.klaviyo.reads.key_check",
    )
    loaded = set(json.loads(run_python(_IMPORTS, *modules)))
    assert {"httpx", "sqlite3"} <= loaded
    assert not loaded & {"textual", "rich"}


@pytest.mark.parametrize(
    "module", ["askel_tui.store.sqlite.writing.process_writer_main", "askel_tui.sync.planning.worker_main"]
)
def test_a_process_that_helps_loads_only_what_it_needs(module: str) -> None:
    loaded = set(json.loads(run_python(_IMPORTS, module)))
    assert "sqlite3" in loaded
    assert not loaded & (HEAVY - {"sqlite3"} | {"asyncio", "logging"})


def test_saying_how_things_are_loads_no_client() -> None:
    """What the console shows first is in the journal: nobody waits for the network's packages."""
    loaded = set(
        json.loads(run_python(_IMPORTS, "askel_tui.services.status", "askel_tui.tui.screens.overview.screen"))
    )
    assert not loaded & {"aiohttp", "httpx", "tenacity", "keyring"}
