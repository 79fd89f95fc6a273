"""The systemd unit and the container file of docs/deploy: what they run is accepted, and what they promise is there."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from askel_tui.api.server.server import parse_bind_address
from askel_tui.cli.commands.daemon import daemon
from tests.support.files import ROOT

UNIT = ROOT / "docs" / "deploy" / "askel.service"
CONTAINER = ROOT / "docs" / "deploy" / "Containerfile"
EXPOSURE = 20
"""Tenths of a point, on systemd's own scale: 0 is shut off from everything, 100 is open. 20 and less is called OK."""


def settings() -> dict[str, list[str]]:
    """The unit's settings; one may be there several times."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def accepted(words: list[str]) -> tuple[str, bool]:
    """The address of a `daemon` command line. Fails where our own parser refuses it."""
    assert words[:1] == ["daemon"]
    given = daemon.make_context("daemon", words[1:]).params
    where = parse_bind_address(given["listen"], public=given["public"])
    return f"{where.host}:{where.port}", given["log_json"]


def test_the_unit_runs_what_we_accept_and_reloads_by_sighup() -> None:
    unit = settings()
    (command,) = unit["ExecStart"]
    words = shlex.split(command)
    assert Path(words[0]).name == "askel"
    assert accepted(words[1:]) == ("127.0.0.1:8765", True)
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["Environment"] == [f"ASKEL_HOME=/var/lib/{unit['StateDirectory'][0]}"]
    # The name is the one that the vault looks for.
    assert unit["LoadCredential"][0].startswith("askel-master:")


def test_the_unit_keeps_its_process_from_everything_else() -> None:
    unit = settings()
    for name, value in {
        "User": "askel",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "ProtectKernelTunables": "yes",
        "RestrictNamespaces": "yes",
        "SystemCallArchitectures": "native",
        "UMask": "0077",
        "StateDirectoryMode": "0700",
    }.items():
        assert unit[name] == [value], name
    assert unit["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    # It looks whether the program is there.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/askel/bin/askel", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout


def test_the_container_is_no_root_and_runs_what_we_accept() -> None:
    lines = CONTAINER.read_text().replace("\\\n", " ").splitlines()
    message = [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]
    last = {word: rest for word, rest in message if word.isupper()}
    assert int(last["USER"]) > 0
    assert json.loads(last["ENTRYPOINT"]) == ["askel"]
    assert accepted(json.loads(last["CMD"])) == ("0.0.0.0:8765", True)
    assert "ASKEL_HOME=" + last["VOLUME"] in last["ENV"].split()
    _, _, check = last["HEALTHCHECK"].partition("CMD ")
    program = json.loads(check)
    compile(program[-1], "HEALTHCHECK", "exec")
    assert "/healthz" in program[-1]
    copied = [rest.split()[:-1] for word, rest in message if word == "COPY" and "--from" not in rest]
    for source in (each for sources in copied for each in sources):
        assert (ROOT / source).exists(), source
