"""Refusals: what is no record is kept in a file under `refused/`, counted in the journal, and logged."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from askel_tui.core.records.record import RefusedLine
from askel_tui.store.paths import make_private, refused_dir
from askel_tui.sync.instance import Instance
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize_sentence
from askel_tui.text.times import to_rfc3339

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 50_000_000
"""The size up to which a day's file of what the HTTP API refused grows; what comes then is counted and logged only."""


class RefusedFile:
    """A file of refused lines, made with the first one: `line<TAB>reason<TAB>text`."""

    def __init__(self, home: Path, name: str) -> None:
        self._directory = refused_dir(home)
        self._name = name
        self._file: BinaryIO | None = None
        self.path: Path | None = None

    def __enter__(self) -> RefusedFile:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, label: str, reason: str, text: bytes) -> None:
        """Writes a line; `label` says which one it was."""
        if self._file is None:
            make_private(self._directory)
            self.path = self._directory / self._name
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self.path, flags, 0o600), "ab")
        plain = text.replace(b"\t", b" ").replace(b"\r", b" ").replace(b"\n", b" ")
        self._file.write(b"%s\t%s\t%s\n" % (label.encode(), reason.encode("utf-8", "replace"), plain))


def refused_file_name(connection: str, at: datetime) -> str:
    """Names the file of one input; no two inputs have one."""
    return f"{connection}-{at.strftime('%Y%m%dT%H%M%S.%f')}.tsv"


async def keep_refused(
    instance: Instance, connection: str, source: str, refused: Sequence[RefusedLine], count: int
) -> None:
    """Keeps what the HTTP API refused of a request with `count` records, counts it, and logs it; nothing without any.

    `source` names the way in. The first column of the file is the time, the source and the index in the request.
    """
    if not refused:
        return
    now = instance.clock()
    path = await asyncio.to_thread(_append, instance.home, connection, source, refused, now)
    await instance.journal.count_refused(connection, len(refused))
    kept = (
        f"kept in {path}" if path else f"not kept: the file of the day has {MAX_FILE_BYTES // 1_000_000} MB"
    )
    log.warning(
        "%s: %d of %s refused (%s), %s; the first: %s",
        connection, len(refused), pluralize(count, "record"), source, kept, sanitize_sentence(refused[0].reason),
    )  # fmt: skip


def _append(
    home: Path, connection: str, source: str, refused: Sequence[RefusedLine], now: int
) -> Path | None:
    day = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%d")
    name = f"{connection}-api-{day}.tsv"
    try:
        if (refused_dir(home) / name).stat().st_size > MAX_FILE_BYTES:
            return None
    except OSError:
        pass  # It is the first of the day.
    with RefusedFile(home, name) as file:
        for each in refused:
            file.write(f"{to_rfc3339(now)} {source} {each.line}", each.reason, each.text)
        return file.path
