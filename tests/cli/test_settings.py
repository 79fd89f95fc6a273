"""Settings, and what can be changed about a connection: by command, checked, audited, and never showing a secret."""

from __future__ import annotations

import sys

import pytest

from tests.support.askel import Askel

pytestmark = pytest.mark.clock

SECRET = "https+hmac://s3cret@hooks.example/path-with-token"


def _value(askel: Askel, name: str) -> object:
    return next(row["value"] for row in askel.json("settings")["settings"] if row["name"] == name)


def test_a_setting_is_set_shown_and_taken_back(askel: Askel) -> None:
    assert "15m" in askel("settings").stdout
    assert askel.json("settings", "set", "pause_after", "2h") == {
        "name": "pause_after",
        "value": 7_200,
        "set": True,
    }
    assert _value(askel, "pause_after") == 7_200
    assert "2h" in askel("settings").stdout
    assert "15m" in askel("settings", "unset", "pause_after").stderr
    assert _value(askel, "pause_after") == 900


@pytest.mark.parametrize(
    ("name", "word", "value"),
    [
        ("retention_days", "30", 30),
        ("retention_mb", "0.5", 0.5),
        ("remind_hours", "12", 12),
        ("max_backlog", "5000000", 5_000_000),
        ("compete", "on", True),
    ],
)
def test_what_is_kept_and_when_it_is_reported_again(askel: Askel, name: str, word: str, value: float) -> None:
    askel("settings", "set", name, word)
    assert _value(askel, name) == value


def test_addresses_are_never_shown_nor_audited(askel: Askel) -> None:
    message = askel("settings", "set", "notify", SECRET, "https://hooks.example/token-a")
    assert "https+hmac://hooks.example/…, https://hooks.example/…" in message.stderr
    everything = message.output + askel("settings").output + askel("settings", "--json").output
    everything += askel("audit", "--json").output
    for word in ("s3cret", "path-with-token", "token-a"):
        assert word not in everything
    [entry] = askel.lines("audit")
    assert (entry["kind"], entry["response"]["detail"]["name"]) == ("setting", "notify")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("pause_aftr", "1h"), "did you mean pause_after?"),
        (("xyzzy", "1"), "there are pause_after, retention_days"),
        (("pause_after", "soon"), "such as 15m"),
        (("compete", "perhaps"), "neither on nor off"),
        (("pause_after", "0s"), "such as 15m"),
        (("pause_after", "1h", "2h"), "one value, not 2"),
        (("retention_days", "-1"), "no number between"),
        (("retention_days", "nan"), "no number between"),
        (("max_backlog", "1.5"), "no whole number"),
        (("min_free_mb", "0"), "no whole number"),
        (("notify", "hooks.example/path-with-token"), "address 1 is not of the form"),
        (
            ("notify", "slack://path-with-token"),
            "address 1 (slack://…) can't take notices: slack:// needs apprise",
        ),
        (
            ("notify", "https://x.example", "http://x.example/path-with-token"),
            "not this machine: use https://",
        ),
        (("notify", "https+hmac://hooks.example/path-with-token"), "names no secret"),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_changes(
    askel: Askel, words: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    message = askel("settings", "set", "--", *words, code=2)
    assert why in message.stderr
    assert "path-with-token" not in message.output
    assert not any(row["set"] for row in askel.json("settings")["settings"])


def test_what_holds_for_a_connection_is_changed(askel: Askel) -> None:
    askel.connect("maple-ember", "--notify", SECRET)
    changed = askel.json(
        "connections",
        "set",
        "maple-ember",
        "--on-conflict",
        "merge",
        "--pause-after",
        "1h",
        "--customer",
        "Maple",
    )
    shown = {name: changed[name] for name in ("on_conflict", "pause_after", "customer", "notify")}
    assert shown == {"on_conflict": "merge", "pause_after": 3_600, "customer": "Maple", "notify": 1}
    assert askel.json("connections")["connections"] == [changed]
    askel("connections", "set", "maple-ember", "--no-notify", "--pause-after", "default")
    [one] = askel.json("connections")["connections"]
    assert (one["notify"], one["pause_after"], one["on_conflict"]) == (0, None, "merge")
    entries = [entry for entry in askel.lines("audit") if entry["kind"] == "change"]
    assert entries[0]["response"]["detail"]["on_conflict"] == {"before": "fail", "after": "merge"}
    assert "s3cret" not in str(entries)


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("maple-embr", "--customer", "x"), 2, "Did you mean 'maple-ember'"),
        (("maple-ember",), 2, "nothing to change"),
        (("maple-ember", "--pause-after", "never"), 2, "such as 15m"),
        (("maple-ember", "--on-conflict", "guess"), 2, "strongest"),
        (("maple-ember", "--notify", "slack://x", "--no-notify"), 2, "exclude each other"),
        (("maple-ember", "--notify", "http://hooks.example/x"), 3, "use https://"),
    ],
)
def test_a_change_that_cannot_be_made(askel: Askel, words: tuple[str, ...], code: int, why: str) -> None:
    askel.connect()
    assert why in askel("connections", "set", *words, code=code).stderr


def test_a_test_notice_says_where_it_arrived_and_why_not(askel: Askel) -> None:
    askel.connect()
    assert "there is no address" in askel("notify", "test", code=1).stderr
    askel("settings", "set", "notify", "http://127.0.0.1:9/s3cret")
    askel("connections", "set", "maple-ember", "--notify", "http://127.0.0.1:9/own")
    message = askel("notify", "test", code=1)
    assert "can't be reached" in message.stdout
    assert "s3cret" not in message.output
    tried = askel.json("notify", "test", "--connection", "maple-ember", code=1)["notices"]
    assert [(each["address"], each["connection"]) for each in tried] == [
        ("http://127.0.0.1/…", None),
        ("http://127.0.0.1/…", "maple-ember"),
    ]
    assert askel.json("status")["notices"] == []
