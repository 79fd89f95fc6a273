"""The settings of an instance: their names, values and defaults."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.core.problems import did_you_mean
from askel_tui.core.spans import format_span, parse_span
from askel_tui.services.notices import InvalidNoticeAddress, check_addresses
from askel_tui.store.journal.rows import Decision
from askel_tui.sync.connected import PAUSE_AFTER_MS
from askel_tui.sync.instance import COMPETE_SETTING, Instance
from askel_tui.sync.notifications.addresses import NOTIFY_SETTING as NOTIFY
from askel_tui.sync.notifications.channels import redacted_address
from askel_tui.sync.notifications.notifier import REMIND_HOURS, REMIND_SETTING
from askel_tui.sync.upkeep import retention
from askel_tui.sync.upkeep.waiting_alerts import DEFAULT_WAITING_S, WAITING_SETTING

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f\x7f]+")
_MAX_NUMBER = 1_000_000

MAX_BACKLOG_SETTING = "max_backlog"
MIN_FREE_MB_SETTING = "min_free_mb"
"""The names of the settings for when the HTTP API refuses records."""


class InvalidSetting(ValueError):
    """A setting that does not exist, or a value that it does not take; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting. `parse` makes its value of words and raises `InvalidSetting`; `format` shows a value to people."""

    name: str
    description: str
    default: Any
    parse: Callable[[Sequence[str]], Any]
    format: Callable[[Any], str]


def parse_duration(text: str) -> int:
    """Parses a number and s, m, h or d into seconds. Raises `InvalidSetting`."""
    seconds = parse_span(text) or 0
    if not 1 <= seconds <= 365 * 86_400:
        raise InvalidSetting(f"{text!r} is no time: a number and s, m, h or d, such as 15m")
    return seconds


def parse_addresses(words: Sequence[str]) -> list[str]:
    """Parses addresses for notices. Raises `InvalidSetting`, which never repeats one: it may hold a token."""
    for number, word in enumerate(words, 1):
        if not _ADDRESS.fullmatch(word):
            raise InvalidSetting(
                f"address {number} is not of the form service://… (https://, slack://, mailto://)"
            )
    return list(dict.fromkeys(words))


def _single_word(words: Sequence[str]) -> str:
    if len(words) != 1:
        raise InvalidSetting(f"it takes one value, not {len(words)}")
    return words[0]


def _parse_number(words: Sequence[str]) -> float:
    text = _single_word(words)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= _MAX_NUMBER:
        raise InvalidSetting(f"{text!r} is no number between 0 and {_MAX_NUMBER:,}")
    return int(number) if number.is_integer() else number


def _parse_count(words: Sequence[str]) -> int:
    text = _single_word(words)
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) <= 1000 * _MAX_NUMBER:
        raise InvalidSetting(f"{text!r} is no whole number between 1 and {1000 * _MAX_NUMBER:,}")
    return int(text)


def _parse_switch(words: Sequence[str]) -> bool:
    text = _single_word(words).strip().lower()
    if text not in ("on", "off"):
        raise InvalidSetting(f"{text!r} is neither on nor off")
    return text == "on"


def _format_number(value: Any) -> str:
    return "–" if value is None else f"{value:,}"


SETTINGS: Mapping[str, Setting] = {
    each.name: each
    for each in (
        Setting(
            "pause_after",
            "how long Klaviyo may keep failing before a step is held and the team told",
            PAUSE_AFTER_MS // 1_000,
            lambda words: parse_duration(_single_word(words)),
            format_span,
        ),
        Setting(
            "retention_days",
            "how many days of audit, records and refused lines are kept",
            retention.DEFAULT_RETENTION_DAYS,
            _parse_number,
            _format_number,
        ),
        Setting(
            "retention_mb",
            "how many megabytes the journal may take, and refused/; the oldest goes first, never the last hour",
            None,
            _parse_number,
            _format_number,
        ),
        Setting(
            NOTIFY,
            "where notices of all connections go; several addresses",
            [],
            parse_addresses,
            lambda value: ", ".join(map(redacted_address, value)) or "–",
        ),
        Setting(
            REMIND_SETTING,
            "how many hours after the last word a standing hold is told of again; unset: after 1, 6 and 24, then daily",
            None,
            _parse_number,
            lambda value: ", ".join(map(str, REMIND_HOURS)) if value is None else f"{value:,}",
        ),
        Setting(
            WAITING_SETTING,
            "how old the oldest waiting record may be before the team is told, where no hold is the reason",
            DEFAULT_WAITING_S,
            lambda words: parse_duration(_single_word(words)),
            format_span,
        ),
        Setting(
            MAX_BACKLOG_SETTING,
            "how many operations may wait before the HTTP API refuses records",
            2_000_000,
            _parse_count,
            _format_number,
        ),
        Setting(
            MIN_FREE_MB_SETTING,
            "with how many megabytes of free disk it refuses them too",
            256,
            _parse_count,
            _format_number,
        ),
        Setting(
            COMPETE_SETTING,
            "whether a backlog keeps its pace where another integration uses the same limits: on or off",
            False,
            _parse_switch,
            lambda value: "on" if value else "off",
        ),
    )
}  # fmt: skip


def find_setting(name: str) -> Setting:
    """Finds a setting by its name. Raises `InvalidSetting` with the nearest name."""
    found = SETTINGS.get(name)
    if found is None:
        guess = did_you_mean(name, SETTINGS)
        hint = f"did you mean {guess}?" if guess else f"there are {', '.join(SETTINGS)}"
        raise InvalidSetting(f"there is no setting {name!r}: {hint}")
    return found


def public_value(one: Setting, value: Any) -> Any:
    """Returns a value for programs, with addresses redacted."""
    return [redacted_address(each) for each in value] if one.name == NOTIFY else value


async def change(instance: Instance, name: str, words: Sequence[str] | None, actor: str) -> Any:
    """Sets a setting from words, or resets it (None); audited. Returns its new value. Raises `InvalidSetting`.

    A running daemon applies it from its next round on.
    """
    one = find_setting(name)
    return await store(instance, name, None if words is None else one.parse(words), actor)


async def store(instance: Instance, name: str, value: Any, actor: str) -> Any:
    """Stores a value that `parse` of a setting gave, or resets it (None); audited. Raises as `change` does."""
    one = find_setting(name)
    if name == NOTIFY and value:
        try:
            await check_addresses(value)
        except InvalidNoticeAddress as refused:
            raise InvalidSetting(str(refused)) from None
    before = (await asyncio.to_thread(instance.state.settings)).get(name)
    await asyncio.to_thread(instance.state.save_setting, name, value)
    values = {
        word: None if each is None else public_value(one, each)
        for word, each in (("before", before), ("after", value))
    }
    await instance.journal.write_decision(
        Decision("setting", actor, detail={"name": name, **values}), instance.clock()
    )
    return one.default if value is None else value
