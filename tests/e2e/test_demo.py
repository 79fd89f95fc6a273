"""`askel demo` tells its story to the end, counts, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from tests.support.shell import Shell


def test_the_demo_counts_on_klaviyos_side_and_touches_nothing_of_ours(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    message = Shell(ours, "http://127.0.0.1:9").run("demo", "--headless").stdout
    assert "held: step welcome" in message
    counts = {
        line.split(maxsplit=1)[1]: int(line.split()[0])
        for line in message.splitlines()
        if line[:6].strip().isdigit()
    }
    assert counts["profiles with their tier"] == 60
    assert counts["different event ids"] == 59
    assert counts["answers 429"] == 0
    assert message.endswith("Nothing was lost, nothing was doubled.\n")
    assert not ours.exists()
