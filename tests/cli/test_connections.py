"""Connecting: what a person is told about a key, and what is never told."""

from __future__ import annotations

import json

import pytest

from askel_tui.contract.revisions import NEWEST
from tests.support.askel import Askel
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.clock

SMALLEST = "profiles:read profiles:write lists:read lists:write events:write segments:read flows:read"


def _key(account: SandboxProcess, name: str, scopes: str, other: str | None = None) -> str:
    made = {"key": name, "scopes": scopes.split(), **({"account": other} if other else {})}
    account.control("POST", "keys", made)
    return name


def test_connecting_shows_account_scopes_and_catalog(askel: Askel) -> None:
    shown = askel.connect("maple-ember", "--customer", "Maple")
    assert "MpEmbr (Maple & Ember)" in shown.stdout
    assert "lists:write          [x]  present" in shown.stdout
    assert "14 lists" in shown.stdout
    assert askel.key not in shown.output
    (one,) = askel.json("connections")["connections"]
    assert (one["name"], one["customer"], one["revision"]) == ("maple-ember", "Maple", NEWEST)
    assert one["key"].startswith("sha256:")


def test_the_smallest_key_connects_and_says_what_it_cannot_do(askel: Askel, account: SandboxProcess) -> None:
    key = _key(account, "pk_smallest", SMALLEST)
    message = json.loads(askel("connect", "small", "--key-stdin", "--json", stdin=key).stdout)
    lacking = {row["feature"]: row["missing"] for row in message["lacking"]}
    assert lacking["templates (browse)"] == ["templates:read"]
    assert any("subscriptions:write" in missing for missing in lacking.values())
    assert "templates" not in message["catalog"]
    assert "templates:read" in askel("browse", "small", "templates", code=4).stderr


def test_a_key_without_what_is_needed_is_refused(askel: Askel, account: SandboxProcess) -> None:
    key = _key(account, "pk_reads_only", "profiles:read lists:read accounts:read")
    message = askel.connect("reader", key=key, code=4).stderr
    assert "profiles:write" in message
    assert askel.json("connections") == {"connections": []}


def test_a_wrong_key(askel: Askel) -> None:
    message = askel.connect(key="pk_wrong_but_secret", code=4)
    assert "refuses the key" in message.stderr
    assert "wrong_but_secret" not in message.output


def test_nobody_at_the_address(offline: Askel) -> None:
    assert "127.0.0.1:9" in offline.connect(code=5).stderr


def test_an_address_that_is_none(askel: Askel) -> None:
    message = askel("connect", "x", "--key-stdin", stdin="pk_x", ASKEL_KLAVIYO_URL="banana", code=2)
    assert "https://" in message.stderr


@pytest.mark.parametrize("words", [["connect", "maple-ember"], ["rotate", "maple-ember"]])
def test_a_key_as_an_argument_is_refused_and_not_repeated(askel: Askel, words: list[str]) -> None:
    message = askel(*words, "secret-of-any-shape", code=2)
    assert "secret-of-any-shape" not in message.output
    assert "--key-stdin" in message.stderr


def test_without_a_terminal_nothing_is_asked(askel: Askel) -> None:
    assert "--key-stdin" in askel("connect", "maple-ember", code=2).stderr


@pytest.mark.parametrize(
    ("given", "word"), [("", "empty"), (b"\xff\xfe", "not text"), ("pk_a pk_b", "blank")]
)
def test_what_is_no_key(askel: Askel, given: str | bytes, word: str) -> None:
    assert word in askel("connect", "maple-ember", "--key-stdin", stdin=given, code=4).stderr


def test_notify_addresses_are_looked_at_and_never_shown(askel: Askel) -> None:
    message = askel.connect("maple-ember", "--notify", "token-without-scheme", code=2)
    assert "token-without-scheme" not in message.output
    askel.connect("maple-ember", "--notify", "https://hooks.example/token-a")
    assert "token-a" not in askel("connections", "--json").output


def test_an_only_list_that_is_not_there_is_reported(askel: Askel) -> None:
    assert "did you mean 'Newsletter'?" in askel.connect("maple-ember", "--only-list", "Newsleter").stderr


def test_a_name_is_taken_once(askel: Askel) -> None:
    askel.connect()
    assert "askel rotate maple-ember" in askel.connect(code=3).stderr


@pytest.mark.slow
def test_rotating_takes_a_key_of_the_same_account_only(askel: Askel, account: SandboxProcess) -> None:
    askel.connect()
    before = askel.json("connections")["connections"][0]["key"]
    account.control("POST", "accounts", {"id": "Others", "name": "Others", "seed": "empty"})
    all_scopes = f"{SMALLEST} accounts:read"
    other = _key(account, "pk_of_another", all_scopes, "Others")
    message = askel("rotate", "maple-ember", "--key-stdin", stdin=other, code=4).stderr
    assert "Others" in message
    assert askel.json("connections")["connections"][0]["key"] == before
    mine = _key(account, "pk_new_of_mine", all_scopes)
    askel("rotate", "maple-ember", "--key-stdin", stdin=mine)
    assert askel.json("connections")["connections"][0]["key"] != before
    assert askel.json("check", "maple-ember")["scopes"]["templates:read"] == "missing"


def test_disconnecting_takes_the_key_away(askel: Askel) -> None:
    askel.connect()
    askel("disconnect", "maple-ember", "--yes")
    assert "Known" not in askel("check", "maple-ember", code=2).stderr
    askel.connect()


def test_a_wrong_passphrase_and_no_passphrase(askel: Askel) -> None:
    askel.connect()
    assert "ASKEL_VAULT_KEY" in askel("check", "maple-ember", ASKEL_VAULT_KEY="wrong", code=4).stderr
    assert "ASKEL_VAULT_KEY" in askel("check", "maple-ember", ASKEL_VAULT_KEY=None, code=4).stderr


def test_a_mistyped_connection_is_guessed(askel: Askel) -> None:
    askel.connect()
    assert "Did you mean 'maple-ember'?" in askel("check", "maple-embr", code=2).stderr


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("lists", "Welcome Flow"),
        ("segments", "VIP"),
        ("flows", "Welcome Series"),
        ("metrics", "First Points Earned"),
        ("templates", "Welcome 1: Hello"),
        ("properties", "LoyaltyTier"),
    ],
)
def test_browsing(askel: Askel, section: str, name: str) -> None:
    askel.connect()
    found = askel.json("browse", "maple-ember", section, "--search", name.lower())
    assert name in [each["name"] for each in found[section]]
    assert name in askel("browse", "maple-ember", section).stdout


def test_sampled_properties_say_of_how_many_profiles(askel: Askel) -> None:
    askel.connect()
    found = askel.json("browse", "maple-ember", "properties", "--sample", "3")
    assert found["sampled"] == 3
    assert all(each["of"] == 3 for each in found["properties"])
    assert "3 profiles" in askel("browse", "maple-ember", "properties", "--sample", "3").stderr


def test_what_a_conflict_does_is_chosen_when_connecting(askel: Askel) -> None:
    assert "'fail', 'strongest', 'merge'" in askel.connect("x", "--on-conflict", "ask", code=2).stderr
    askel.connect("maple-ember", "--on-conflict", "merge")
    assert askel.json("connections")["connections"][0]["on_conflict"] == "merge"
    assert "merge" in askel("connections").stdout


def test_a_scope_that_could_not_be_verified_is_not_called_present(
    askel: Askel, account: SandboxProcess
) -> None:
    account.control("POST", "faults", {"endpoint": "create_event", "status": 418})
    try:
        message = askel.connect()
    finally:
        account.control("DELETE", "faults")
    assert "not verified" in message.stdout
    assert "1 scope could not be verified" in message.stderr
    assert "its key can do all" not in message.stderr


def test_a_retired_revision_is_pinned_only_by_the_flag(askel: Askel) -> None:
    refused = askel.connect("old", "--revision", "2024-02-15", code=3).stderr
    assert "--accept-retired" in refused
    assert askel.json("connections") == {"connections": []}
    shown = askel.connect("old", "--revision", "2024-02-15", "--accept-retired").stdout
    assert "2024-02-15, retired, served as" in shown
    askel.connect("new")
    old = next(each for each in askel.json("connections")["connections"] if each["name"] == "old")
    assert old["accept_retired"] is True
    status = askel.json("status")["connections"]
    assert {each["name"]: bool(each["served"]) for each in status} == {"old": True, "new": False}
    assert "old: revision 2024-02-15 is retired, served as" in askel("status").stdout
    accepted = {
        each["connection"]: each["response"]["detail"].get("accept_retired")
        for each in askel.lines("audit", "--kind", "connect")
    }
    assert accepted == {"old": True, "new": None}


def test_a_revision_that_klaviyo_calls_retired_is_refused_with_the_way_out(
    askel: Askel, account: SandboxProcess
) -> None:
    account.control("POST", "faults", {"endpoint": "get_accounts", "status": 410, "times": 1})
    refused = askel.connect("newest", code=3).stderr
    assert "is retired" in refused
    assert "--accept-retired" in refused
