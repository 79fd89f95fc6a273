"""Settings of an instance: what they are called, what they take, and what holds without them."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.core.problems import did_you_mean
from askel_tui.store.journal.rows import Decision
from askel_tui.sync.instance import COMPETE, Instance
from askel_tui.sync.notifications.channels import shown
from askel_tui.sync.notifications.notifier import REMIND_HOURS, REMIND_SETTING
from askel_tui.sync.notifications.notifier import SETTING as NOTIFY
from askel_tui.sync.sending.settlement import PAUSE_AFTER_MS
from askel_tui.sync.upkeep import retention

_SPAN = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f\x7f]+")
_MOST = 1_000_000

BACKLOG = "max_backlog"
MIN_FREE_MB = "min_free_mb"
"""When the front door refuses records."""


class Unsettable(ValueError):
    """A setting that does not exist, or a value that it does not take; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `read` makes its value of words, and raises `Unsettable`; `say` shows a value to people."""

    name: str
    means: str
    default: Any
    read: Callable[[Sequence[str]], Any]
    say: Callable[[Any], str]


def span(text: str) -> int:
    """Seconds, from a number and s, m, h or d. Raises `Unsettable`."""
    match = _SPAN.fullmatch(text.strip())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 1 <= seconds <= 365 * 86_400:
        raise Unsettable(f"{text!r} is no time: a number and s, m, h or d, such as 15m")
    return seconds


def said_span(seconds: int) -> str:
    """Seconds as `span` takes them."""
    unit = next((each for each in "dhm" if seconds % _SECONDS[each] == 0), "s")
    return f"{seconds // _SECONDS[unit]}{unit}"


def addresses(words: Sequence[str]) -> list[str]:
    """Addresses for notices. Raises `Unsettable`, which never repeats one: it may hold a token."""
    for number, word in enumerate(words, 1):
        if not _ADDRESS.fullmatch(word):
            raise Unsettable(
                f"address {number} is not of the form service://… (https://, slack://, mailto://)"
            )
    return list(dict.fromkeys(words))


def _one(words: Sequence[str]) -> str:
    if len(words) != 1:
        raise Unsettable(f"it takes one value, not {len(words)}")
    return words[0]


def _number(words: Sequence[str]) -> float:
    text = _one(words)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= _MOST:
        raise Unsettable(f"{text!r} is no number between 0 and {_MOST:,}")
    return int(number) if number.is_integer() else number


def _count(words: Sequence[str]) -> int:
    text = _one(words)
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) <= 1000 * _MOST:
        raise Unsettable(f"{text!r} is no whole number between 1 and {1000 * _MOST:,}")
    return int(text)


def _switch(words: Sequence[str]) -> bool:
    text = _one(words).strip().lower()
    if text not in ("on", "off"):
        raise Unsettable(f"{text!r} is neither on nor off")
    return text == "on"


def _plain(value: Any) -> str:
    return "–" if value is None else f"{value:,}"


SETTINGS: Mapping[str, Setting] = {
    each.name: each
    for each in (
        Setting(
            "pause_after",
            "how long Klaviyo may keep failing before a step is held and the team told",
            PAUSE_AFTER_MS // 1_000,
            lambda words: span(_one(words)),
            said_span,
        ),
        Setting("retention_days", "how many days of audit and records are kept", retention.DAYS, _number, _plain),
        Setting(
            "retention_mb",
            "how many megabytes the journal may take; the oldest goes first, never the last hour",
            None,
            _number,
            _plain,
        ),
        Setting(
            NOTIFY,
            "where notices of all connections go; several addresses",
            [],
            addresses,
            lambda value: ", ".join(map(shown, value)) or "–",
        ),
        Setting(
            REMIND_SETTING,
            "how many hours after the last word a standing hold is told of again",
            REMIND_HOURS,
            _number,
            _plain,
        ),
        Setting(
            BACKLOG, "how many operations may wait before the front door refuses records", 2_000_000, _count, _plain
        ),
        Setting(
            MIN_FREE_MB, "with how many megabytes of free disk it refuses them too", 256, _count, _plain
        ),
        Setting(
            COMPETE,
            "whether a backlog keeps its pace where another integration uses the same limits: on or off",
            False,
            _switch,
            lambda value: "on" if value else "off",
        ),
    )
}  # fmt: skip


def setting(name: str) -> Setting:
    """The setting of that name. Raises `Unsettable` with the nearest name."""
    found = SETTINGS.get(name)
    if found is None:
        guess = did_you_mean(name, SETTINGS)
        hint = f"did you mean {guess}?" if guess else f"there are {', '.join(SETTINGS)}"
        raise Unsettable(f"there is no setting {name!r}: {hint}")
    return found


def public(one: Setting, value: Any) -> Any:
    """A value for programs: of addresses only what may be shown."""
    return [shown(each) for each in value] if one.name == NOTIFY else value


async def change(instance: Instance, name: str, words: Sequence[str] | None, actor: str) -> Any:
    """Sets a setting from words, or takes it back (None); audited. Gives its value now. Raises `Unsettable`.

    A running daemon goes by it from its next round on.
    """
    one = setting(name)
    value = None if words is None else one.read(words)
    before = (await asyncio.to_thread(instance.state.settings)).get(name)
    await asyncio.to_thread(instance.state.save_setting, name, value)
    told = {
        word: None if each is None else public(one, each)
        for word, each in (("before", before), ("after", value))
    }
    await instance.journal.decide(Decision("setting", actor, detail={"name": name, **told}), instance.clock())
    return one.default if value is None else value
