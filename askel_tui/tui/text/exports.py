"""Exports: CSV whose cells start no formula in a spreadsheet, in files that only their owner can read."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
"""The beginnings that a spreadsheet takes for a formula, a command, or (line ends) the start of another cell."""


def csv_cell(value: object) -> str:
    """Formats a value as the text of a cell; a formula is prevented by an apostrophe, which spreadsheets hide."""
    text = "" if value is None else value if isinstance(value, str) else _encoded(value)
    text = text.replace("\x00", "␀").encode("utf-8", "replace").decode()
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def to_csv(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Makes a CSV document with a header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([csv_cell(each) for each in headers])
    writer.writerows([csv_cell(each) for each in row] for row in rows)
    return out.getvalue()


def write_private_file(file: Path, text: str, *, replace: bool = False) -> Path:
    """Writes a file that only its owner can read. Raises `FileExistsError` unless `replace` is set, and `OSError`."""
    path = file.expanduser()
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if replace else os.O_EXCL)
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8", newline="") as opened:
        opened.write(text)
    return path


def _encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
