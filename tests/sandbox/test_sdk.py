"""Klaviyo's own SDK, at each revision whose rules are at hand, reads and writes through the sandbox."""

from __future__ import annotations

import asyncio
import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.environment import as_user
from tests.support.sandbox import running

if TYPE_CHECKING:
    from collections.abc import Callable

_SCRIPT = Path(__file__).with_name("sdk_script.py")
_VERSIONS = {"7.0.0": "2024-02-15", "18.0.0": "2025-01-15", "24.0.0": "2026-07-15", "25.0.0": "2026-10-15"}


@pytest.fixture(scope="session")
def environment() -> Callable[[str], Path]:
    """The interpreter of an environment with the SDK; made once and kept between runs."""

    def made(version: str) -> Path:
        cache = Path(as_user()["HOME"]) / ".cache" / "askel-tests"
        home = cache / f"klaviyo-api-{version}-py{sys.version_info.major}.{sys.version_info.minor}"
        python, ready = home / "bin" / "python", home / "ready"
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{version}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
            if not ready.exists():
                _install(home, python, version)
                ready.touch()
        return python

    return made


def _install(home: Path, python: Path, version: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(home)], check=True, env=as_user(), timeout=120
    )
    install = [str(python), "-m", "pip", "install", "--quiet", f"klaviyo-api=={version}"]
    subprocess.run(install, check=True, env=as_user(), timeout=240)


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize("limits", [False, True])
async def test_the_sdk_reads_and_writes(
    version: str, limits: bool, environment: Callable[[str], Path]
) -> None:
    python = await asyncio.to_thread(environment, version)
    async with running(limits=limits, job_time=0.5, today="2026-12-01") as sandbox:
        process = await asyncio.create_subprocess_exec(
            str(python),
            str(_SCRIPT),
            sandbox.url,
            sandbox.key,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        message: dict[str, Any] = json.loads(out)
        revisions = {entry["revision"] for entry in sandbox.world.log}
        refused = [
            entry for entry in sandbox.world.log if entry["status"] not in (200, 201, 202, 204, 404, 429)
        ]
        account = sandbox.account
    assert revisions == {_VERSIONS[version]}
    assert refused == []
    assert message["account"] == "MpEmbr"
    assert message["same"]
    assert message["found"]
    assert message["properties"] == {"LoyaltyTier": "Gold", "Points": 5}
    assert message["patched"] == "Lovelace"
    assert (message["pages"], len(set(message["lists"]))) == (2, 14)
    assert message["members"] == ["sdk@shop.example"]
    assert message["vips"] == ["vip@example.com"]
    assert message["segments"] == 4
    assert "SDK Event" in message["metrics"]
    assert message["events"] == len(account.events) == (2 if version == "7.0.0" else 3)
    assert message["job"] == ["complete", 3, 0]
    assert message["consent"] == "SUBSCRIBED"
    assert "Welcome Series" in message["flows"]
    assert message["missing"] == 404
    group = next(one for one in account.lists.values() if one.name == "From the SDK")
    assert len(group.members) == 4
