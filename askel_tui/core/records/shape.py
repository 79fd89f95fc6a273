"""Recognises the shape of a file of records by its first bytes and its name: format, encoding, columns. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

FileFormat = Literal["jsonl", "json", "csv"]
Encoding = Literal["utf-8", "utf-16-le", "utf-16-be", "windows-1252"]

SAMPLE_BYTES = 65_536
"""The number of bytes by which a file is recognised."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
"""The characters that may stand between columns, each with its name."""

_BOMS: Sequence[tuple[bytes, Encoding]] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FORMAT_OF_ENDING: dict[str, FileFormat] = {
    "csv": "csv",
    "tsv": "csv",
    "tab": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "json",
}
_FIRST_LINE = re.compile(r'(?:[^"\r\n]|"[^"]*")*+(\r\n|\n|\r|\Z)')
_LINE_ENDS = re.compile(r"\r\n|\n|\r")
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*(?:\r\n|\n|\r)", re.IGNORECASE)
_MAX_SAMPLE_ROWS = 20


@dataclass(frozen=True, slots=True)
class FileShape:
    """The shape of a file of records. `delimiter` and `line_end` matter for CSV only."""

    format: FileFormat
    encoding: Encoding = "utf-8"
    delimiter: str = ","
    line_end: Literal["\n", "\r"] = "\n"
    skipped_lines: int = 0
    """The lines before the header: 1 where the first is `sep=;`, as Excel writes it."""
    guessed: tuple[str, ...] = ()
    """What the file does not say for certain: `encoding`, `delimiter`."""

    def describe(self) -> str:
        """Describes what was recognised, in words."""
        if self.format != "csv":
            words = {"jsonl": "JSONL, a record a line", "json": "JSON"}[self.format]
        else:
            words = f"CSV, {DELIMITERS.get(self.delimiter, repr(self.delimiter))} between columns"
        if self.encoding != "utf-8":
            words += f", {self.encoding.removesuffix('-le').removesuffix('-be')}"
        return f"{words}, CR line ends" if self.line_end == "\r" else words


def recognize(
    sample: bytes,
    name: str,
    *,
    file_format: FileFormat | None = None,
    encoding: Encoding | None = None,
    delimiter: str | None = None,
    columns: Collection[str] = ("event", "id", "time", "actor"),
) -> FileShape:
    """Recognizes a file by its first bytes and its name; what is given is not looked for.

    `columns` are names that a header may hold: the delimiter under which it does is certain.
    """
    guessed: list[str] = []
    bom = next((each for mark, each in _BOMS if sample.startswith(mark)), None)
    ending = name.lower().removesuffix(".gz").rpartition(".")[2]
    shape = FileShape("csv", encoding or bom or "utf-8")
    if encoding is None and bom is None and (wide := _wide_encoding(sample)) is not None:
        guessed.append("encoding")
        shape = replace(shape, encoding=wide)
    text = _decode(sample, shape.encoding)
    found = file_format or _FORMAT_OF_ENDING.get(ending) or _format_of(text)
    if found != "csv":
        # JSON is UTF-8: a line that is not is refused by itself.
        whole_lines = found == "json" and file_format is None and not _is_multiline(text)
        return replace(shape, format="jsonl" if whole_lines else found, guessed=tuple(guessed))
    if encoding is None and bom is None and shape.encoding == "utf-8" and _is_single_byte(sample):
        guessed.append("encoding")
        shape = replace(shape, encoding="windows-1252")
        text = _decode(sample, shape.encoding)
    stated = _SEPARATOR_LINE.match(text)
    if stated is not None:
        shape = replace(shape, skipped_lines=1)
        text = text[stated.end() :]
    first = _FIRST_LINE.match(text)
    shape = replace(shape, line_end="\r" if first is not None and first.group(1) == "\r" else "\n")
    if delimiter is None and stated is not None:
        delimiter = stated.group(1)
    if delimiter is None:
        delimiter, certain = _find_delimiter(text, "\t" if ending in ("tsv", "tab") else None, columns)
        if not certain:
            guessed.append("delimiter")
    return replace(shape, delimiter=delimiter, guessed=tuple(guessed))


def split_cells(line: str, delimiter: str) -> list[str]:
    """Splits a line into cells at the delimiter, outside quotes. Quotes stay."""
    cells, inside = [""], False
    for part in re.split(f'([{re.escape(delimiter)}"])', line):
        if part == '"':
            inside = not inside
        if part == delimiter and not inside:
            cells.append("")
        else:
            cells[-1] += part
    return cells


def _wide_encoding(sample: bytes) -> Encoding | None:
    """Returns UTF-16 where every second byte of the sample is mostly zero, as for Latin letters."""
    if sample.count(0) * 3 < len(sample) or len(sample) < 4:
        return None
    return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"


def _decode(sample: bytes, encoding: Encoding) -> str:
    return codecs.getincrementaldecoder(encoding)("replace").decode(sample).removeprefix("\ufeff")


def _format_of(text: str) -> FileFormat:
    """Tells JSON from CSV by the first character; a file that shows nothing is JSONL."""
    start = text.lstrip()
    if start[:1] in ("{", "["):
        return "json"
    header = start.split("\n", 1)[0]
    return "csv" if any(delimiter in header for delimiter in DELIMITERS) else "jsonl"


def _is_multiline(text: str) -> bool:
    """Checks whether JSON is a list, or objects that go over several lines."""
    start = text.lstrip()
    if start.startswith("["):
        return True
    # A line of JSONL that is cut off or wrong is refused by itself, so the next one tells.
    lines = [line.strip() for line in start.splitlines()[:_MAX_SAMPLE_ROWS] if line.strip()]
    return (
        bool(lines)
        and lines[0].startswith("{")
        and not any(line.endswith("}") and line.startswith("{") for line in lines)
    )


def _is_single_byte(sample: bytes) -> bool:
    """Checks whether a sample holds letters that are not UTF-8, and none that are."""
    if sample.isascii():
        return False
    # The last letter may be cut off.
    lines = sample.rstrip(bytes(range(0x80, 0x100))).splitlines()
    letters = [line for line in lines if not line.isascii()]
    return bool(letters) and not any(_is_utf8(line) for line in letters)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _find_delimiter(text: str, expected: str | None, columns: Collection[str]) -> tuple[str, bool]:
    """Finds the character between columns, and whether it is certain.

    It is where the header holds a known column under one character only, or where one character alone splits the
    header, and splits each row alike.
    """
    rows = [line for line in _LINE_ENDS.split(text)[:_MAX_SAMPLE_ROWS] if line.strip()]
    if not rows:
        return expected or ",", True
    headers = {each: split_cells(rows[0], each) for each in DELIMITERS}
    splitting = [each for each, cells in headers.items() if len(cells) > 1]
    if expected in splitting:
        return expected or ",", True
    named = [
        each
        for each in splitting
        if any(cell.strip().strip('"').strip() in columns for cell in headers[each])
    ]
    if len(named) == 1 or not splitting:
        return (named or [","])[0], True
    whole = rows[: len(rows) - 1] if len(text) >= SAMPLE_BYTES // 2 else rows
    agreeing = [
        each
        for each in splitting
        if all(len(split_cells(row, each)) == len(headers[each]) for row in whole if '"' not in row)
    ]
    best = max(agreeing or splitting, key=lambda each: len(headers[each]))
    return best, splitting == agreeing == [best]
