"""Connections: set up, checked, changed, given a new key, taken away; by keys alone."""

from __future__ import annotations

import asyncio
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from askel_tui.core.fingerprints import fingerprint
from askel_tui.sandbox.state.account import Account
from askel_tui.sandbox.state.seed import FULL_KEY
from askel_tui.tui.app import AskelApp
from askel_tui.tui.screens.connections import fields
from askel_tui.tui.screens.connections.plain_input import PlainInput
from tests.support.frozen import begin_there
from tests.support.thinning import first_only
from tests.support.workbench import NAME, Workbench
from tests.tui.conftest import Console, assert_snapshot, text_of, toasts
from tests.tui.hostile import NAMES, assert_inert
from tests.tui.keys import press, send, settled

pytestmark = pytest.mark.clock

SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]
POOR = "pk_sandbox_profiles_only"
FOREIGN = "pk_sandbox_of_another"
SECOND = "pk_sandbox_second_key"


def steady(shown: str) -> str:
    """The screen without the day on which the connection was made."""
    return re.sub(r"connected  \d{4}-\d\d-\d\d \d\d:\d\dZ", "connected  TTTT-TT-TT TT:TTZ", shown)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_it_shows(
    console: Console, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection, its account, what its revision is on that day, its scopes."""
    begin_there(monkeypatch)
    async with console(size=size, first="connections") as (app, _, _):
        assert_snapshot(steady(text_of(app)), f"connections-{size[0]}x{size[1]}")


async def keys(bench: Workbench) -> None:
    """Other keys: one that lacks scopes, a second one of the account, one of another account."""
    world = bench.sandbox.world
    world.add_key(POOR, "MpEmbr", frozenset({"profiles:read", "profiles:write", "accounts:read"}))
    world.add_key(SECOND, "MpEmbr")
    world.add_account(Account("OtherA", "Somebody Else"))
    world.add_key(FOREIGN, "OtherA")


async def paste(pilot: Pilot[Any], text: str) -> None:
    """Pastes into what has the focus, with the line end that comes along when one copies a line."""
    pilot.app.post_message(events.Paste(text + "\n"))
    await settled(pilot.app)


def no_key_anywhere(app: AskelApp, *keys: str) -> None:
    """Neither the screen nor any toast nor any widget holds a key."""
    held = [repr(each) for each in app.query("*")] + [each.value for each in app.query(Input)]
    for key in keys:
        for text in (text_of(app), toasts(app), app.export_screenshot(), *held):
            assert key not in text
            assert key[3:] not in text


@pytest.mark.parametrize("size", first_only(SIZES), ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_second_connection_is_set_up(
    console: Console, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name, key, a check that shows the scopes, lists, notices, connected; the budget is shared."""
    begin_there(monkeypatch)
    apprise = ModuleType("apprise")
    monkeypatch.setattr(apprise, "Apprise", lambda: SimpleNamespace(add=lambda url: True), raising=False)
    monkeypatch.setitem(sys.modules, "apprise", apprise)
    async with console(size=size, first="connections", prepare=keys) as (app, pilot, bench):
        await press(pilot, "a", *"again", "enter")
        await paste(pilot, FULL_KEY)
        assert "•••••" in text_of(app)
        await press(pilot, "ctrl+t")
        shown = text_of(app)
        assert "Maple & Ember (MpEmbr)" in shown
        if size[1] < 24:
            await press(pilot, "pagedown")
            shown = text_of(app)
        assert "✓ profiles:write" in shown
        assert_snapshot(steady(shown), f"connect-{size[0]}x{size[1]}")
        assert FULL_KEY not in app.export_screenshot()
        await press(pilot, "enter", "tab", *"Maple", "enter", *"Newsletter, Prom", "right", "enter")
        await paste(pilot, "mailto://user:token@example.com slack://secret")
        assert "Notices go to: mailto, slack" in text_of(app)
        assert "token" not in text_of(app)
        await press(pilot, "ctrl+s")
        made = bench.instance.state.connection("again")
        assert (made.account, made.customer, made.key) == ("MpEmbr", "Maple", fingerprint(FULL_KEY))
        assert made.only_lists == ("Newsletter", "Promotions")
        assert made.notify == ("mailto://user:token@example.com", "slack://secret")
        assert app.connection == "again"
        shown = text_of(app)
        assert size[1] < 24 or f"shares with  {NAME}: the same key, one budget" in shown
        assert "token" not in shown
        no_key_anywhere(app, FULL_KEY)


async def test_an_address_that_nothing_can_be_delivered_to_is_not_stored(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    async with console(first="connections", prepare=keys) as (app, pilot, bench):
        await press(pilot, "a", *"again", "enter")
        await paste(pilot, FULL_KEY)
        await press(pilot, "ctrl+t", "enter", "tab", "tab", "tab")
        await paste(pilot, "slack://secret")
        await press(pilot, "ctrl+s")
        assert "slack:// needs apprise" in text_of(app)
        assert "again" not in {each.name for each in bench.instance.state.connections()}


async def test_what_is_wrong_is_said_before_klaviyo_is_asked(console: Console) -> None:
    """A name that is taken or unfit, an address without a service, a list that nobody knows."""
    async with console(first="connections", prepare=keys) as (app, pilot, bench):
        before = len(bench.requests())
        await press(pilot, "a", *NAME, "enter", *FULL_KEY, "ctrl+s")
        assert f"A connection called {NAME} exists" in text_of(app)
        await press(pilot, "shift+tab", "end", "space", "ctrl+s")
        await press(pilot, "ctrl+a", "ctrl+k", *"two words", "ctrl+s")
        assert "A name is letters" in text_of(app)
        assert len(bench.requests()) == before
        await press(pilot, "ctrl+a", "ctrl+k", *"fine", "tab", "tab", "tab", "tab", *"Newsleter", "ctrl+t")
        assert "did you mean Newsletter?" in text_of(app)
        await press(pilot, "ctrl+s")
        assert "Not a list of the account" in text_of(app)
        await press(pilot, "escape")
        no_key_anywhere(app, FULL_KEY)
        assert [doc.name for doc in bench.instance.state.connections()] == [NAME]


async def test_a_key_that_lacks_scopes_makes_no_connection(console: Console) -> None:
    """Every scope is told, present or missing, with what needs it."""
    async with console(size=(120, 36), first="connections", prepare=keys) as (app, pilot, bench):
        await press(pilot, "a", *"poor", "tab")
        await paste(pilot, POOR)
        await press(pilot, "ctrl+t")
        shown = text_of(app)
        assert "✗ no connection without lists:read, lists:write, events:write" in shown
        assert re.search(r"✗ events:write +missing +needed · events", shown)
        await press(pilot, "ctrl+s")
        assert "the key lacks" in text_of(app).replace("The key", "the key")
        assert len(bench.instance.state.connections()) == 1


async def test_a_key_that_is_pasted_into_the_name_is_not_shown(console: Console) -> None:
    """It goes to the masked field."""
    async with console(first="connections", prepare=keys) as (app, pilot, _):
        await press(pilot, "a", "ctrl+t")
        assert "Paste the private key first" in text_of(app)
        await paste(pilot, SECOND)
        assert SECOND[3:] not in text_of(app)
        await press(pilot, "ctrl+t")
        assert "✓ profiles:write" in text_of(app)


async def test_a_key_that_is_typed_into_another_field_goes_where_it_is_masked(console: Console) -> None:
    """However fast it comes; where no key is taken it goes nowhere."""
    key = "pk_nobody_knows_this_one"
    async with console(first="connections") as (app, pilot, _):
        await press(pilot, "a", *"again")
        for field in ("form-name", "form-customer", "form-lists"):
            app.screen.query_one(f"#{field}", Input).focus()
            await press(pilot, "ctrl+a", "ctrl+k")
            send(app, *key)
            await settled(app)
            no_key_anywhere_shown(app, key)
            assert app.screen.query_one("#form-key", Input).value == key
            assert "goes into this field" in text_of(app)
        await press(pilot, "escape", "e")
        send(app, *key)
        await settled(app)
        no_key_anywhere_shown(app, key)
        assert "is not taken here" in text_of(app)


def no_key_anywhere_shown(app: AskelApp, key: str) -> None:
    """Neither the key nor its end is on the screen or in a field that shows what it holds."""
    for text in (text_of(app), *(each.value for each in app.screen.query(PlainInput))):
        assert key not in text
        assert key[-6:] not in text


async def test_a_refused_key_is_said(console: Console) -> None:
    """Klaviyo's 401 becomes a sentence, without the key."""
    async with console(first="connections") as (app, pilot, _):
        await press(pilot, "a", *"x", "tab")
        await paste(pilot, "pk_nobody_knows_this_one")
        await press(pilot, "ctrl+t")
        assert "✗" in text_of(app)
        await press(pilot, "escape")
        no_key_anywhere(app, "pk_nobody_knows_this_one")


@pytest.mark.slow
async def test_rotation_checks_both_keys_before_the_change(console: Console) -> None:
    """Another account's key and a poor one change nothing; a fitting one is shown beside the old one, then taken."""
    async with console(size=(120, 36), first="connections", prepare=keys) as (app, pilot, bench):

        def present() -> str:
            return bench.instance.state.connection(NAME).key

        before = present()
        await press(pilot, "r")
        await paste(pilot, FULL_KEY)
        await press(pilot, "ctrl+s")
        assert "this is the key that it has now" in text_of(app).lower()
        await press(pilot, "ctrl+a", "ctrl+k")
        await paste(pilot, FOREIGN)
        await press(pilot, "enter", "ctrl+s")
        assert "the new key is of account OtherA, not of MpEmbr" in text_of(app)
        await press(pilot, "ctrl+a", "ctrl+k")
        await paste(pilot, POOR)
        await press(pilot, "ctrl+s")
        assert re.search(r"✗ events:write +missing +present", text_of(app))
        assert present() == before
        await press(pilot, "ctrl+a", "ctrl+k")
        await paste(pilot, SECOND)
        await press(pilot, "ctrl+t")
        assert re.search(r"✓ events:write +present +present", text_of(app))
        assert present() == before
        await press(pilot, "ctrl+s")
        assert present() == fingerprint(SECOND)
        no_key_anywhere(app, FOREIGN, POOR, SECOND)


async def test_nothing_can_be_copied_out_of_the_key(console: Console) -> None:
    """Selecting, cutting and copying give nothing away."""
    async with console(first="connections") as (app, pilot, _):
        await press(pilot, "r")
        await paste(pilot, SECOND)
        await press(pilot, "home", "shift+end", "ctrl+c", "ctrl+x")
        assert app.clipboard == ""


async def test_it_is_checked_again_and_changed(console: Console) -> None:
    """c tells what the key may do now, e changes customer and lists."""
    async with console(size=(120, 36), first="connections", prepare=keys) as (app, pilot, bench):
        world = bench.sandbox.world
        world.add_key(FULL_KEY, "MpEmbr", frozenset({"profiles:read", "profiles:write", "lists:read", "lists:write",
                                                     "events:write", "accounts:read", "segments:read"}))  # fmt: skip
        await press(pilot, "c")
        assert "4 scopes less" in text_of(app)
        assert "Can't work:" in text_of(app)
        await press(pilot, "e", *"Acme", "tab", *"Newsletter", "ctrl+s")
        assert bench.instance.state.connection(NAME).customer == "Acme"
        assert bench.instance.state.connection(NAME).only_lists == ("Newsletter",)


async def test_notices_are_tested_from_the_form(console: Console) -> None:
    """An address that answers has the test, one that nobody listens on is told, by its kind alone."""
    had: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        had.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with console(size=(120, 36), first="connections") as (app, pilot, _):
            await press(pilot, "e", "ctrl+r")
            assert "There is no address to test." in text_of(app)
            await press(pilot, "tab", "tab")
            await paste(pilot, f"http://127.0.0.1:{port}/token")
            await press(pilot, "ctrl+r")
            assert "http: ✓ sent" in text_of(app)
            assert had[0].startswith(b"POST /token ")
            await press(pilot, "ctrl+a", "ctrl+k")
            await paste(pilot, "http://127.0.0.1:1/token")
            await press(pilot, "ctrl+r")
            assert "http: ✗" in text_of(app)
            assert "token" not in text_of(app)


async def test_disconnecting_wants_the_name_typed(console: Console) -> None:
    """y alone does nothing; afterwards the screen says how to begin."""
    async with console(first="connections") as (app, pilot, bench):
        await press(pilot, "x", "y", "enter")
        await press(pilot, "n")
        assert bench.instance.state.connection(NAME)
        await press(pilot, "x", *NAME, "enter", "y")
        assert bench.instance.state.connections() == []
        assert "Nothing is connected yet." in text_of(app)


async def test_a_read_only_console_connects_nothing(console: Console) -> None:
    """The form says so; nothing is sent."""
    async with console(first="connections", read_only=True) as (app, pilot, bench):
        before = len(bench.requests())
        await press(pilot, "a", *"again", "tab")
        await paste(pilot, FULL_KEY)
        await press(pilot, "ctrl+t", "ctrl+s")
        assert "read-only" in text_of(app)
        assert len(bench.requests()) == before


async def test_hostile_words_are_shown_inert(console: Console) -> None:
    """An account's name, a customer, lists."""

    async def prepare(bench: Workbench) -> None:
        bench.instance.state.change_connection(
            NAME, account_name=NAMES[0], customer=NAMES[2], only_lists=NAMES
        )

    async with console(size=(80, 24), first="connections", prepare=prepare) as (app, pilot, bench):
        for name in NAMES:
            bench.instance.state.change_connection(NAME, account_name=name, customer=name)
            await press(pilot, "f5")
            assert_inert(text_of(app), 80)
        await press(pilot, "e")
        assert_inert(text_of(app), 80)
        await press(pilot, "escape")


async def test_too_small_a_terminal_breaks_nothing(console: Console) -> None:
    """60x20: the screen and both forms."""
    async with console(size=(60, 20), first="connections") as (app, pilot, _):
        for key in ("f5", "a", "r"):
            await press(pilot, key)
            assert_inert(text_of(app), 60)
            await press(pilot, "escape")


@given(st.lists(st.text("ab ,é", max_size=6), max_size=5))
def test_lists_are_names_between_commas(names: list[str]) -> None:
    """No blanks around, none empty, none twice, in their order."""
    found = fields.split_lists(",".join(names))
    assert all(name and name == name.strip() for name in found)
    assert list(found) == list(
        dict.fromkeys(part.strip() for part in ",".join(names).split(",") if part.strip())
    )
