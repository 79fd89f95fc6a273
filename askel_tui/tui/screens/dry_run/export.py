"""Exports of a dry run as CSV, JSON or Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from askel_tui.services.dry_run_result import remarks
from askel_tui.services.json_documents import to_json
from askel_tui.text.json_text import encode_json, format_value
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.screens.dry_run.view import effects, profile_identifiers, record_state
from askel_tui.tui.text.exports import to_csv

if TYPE_CHECKING:
    from askel_tui.services.dry_run_result import DryRun

EXPORT_SUFFIXES = (".csv", ".json", ".md")

EXPORT_COLUMNS = ("record", "profile", "state", "step", "kind", "target", "field", "before", "after", "note")

_MARKDOWN_SPECIALS = re.compile(r"([\\`*_{}\[\]()<>#+!|~-])")


def export_text(run: DryRun, suffix: str) -> str:
    """Formats the run as `.csv`, `.json` or `.md`."""
    match suffix:
        case ".csv":
            return to_csv(EXPORT_COLUMNS, list(_export_rows(run)))
        case ".json":
            return encode_json(to_json(run), indent=2) + "\n"
    return _markdown_report(run)


def _export_rows(run: DryRun) -> Iterator[Sequence[object]]:
    for record in run.records:
        first = (record.record, profile_identifiers(record), record_state(record))
        for operation in record.operations:
            target = operation.target.name if operation.target else ""
            step = (operation.step, operation.kind, target)
            note = "; ".join(remarks(operation))
            if not operation.changes:
                plain = "gate" if operation.request is None else "no change"
                yield (*first, *step, "", "", "", note or plain)
            for field, change in operation.changes.items():
                yield (*first, *step, field, change["before"], change["after"], note)
        for skip in record.skipped:
            yield (*first, skip.step, "", "", "", "", "", f"skipped: {skip.why}")
        for problem in (*record.problems, *record.warnings):
            yield (
                *first,
                problem.step or "",
                "",
                "",
                problem.field or "",
                "",
                "",
                problem.message,
            )


def _markdown_report(run: DryRun) -> str:
    workflow, connection = _escape_markdown(run.workflow), _escape_markdown(run.connection)
    title = f"# Dry run of {workflow}, version {run.version}, on {connection}"
    found = run.totals
    words = [
        f"{getattr(found, word):,} {word}"
        for word in ("records", "new", "changed", "unchanged", "skipped", "problems")
    ]
    lines = [title, "", ", ".join(words) + ".", ""]
    lines += [f"- {label}: {_escape_markdown(sentence)}" for label, sentence in effects(found)]
    lines += ["", "| " + " | ".join(EXPORT_COLUMNS) + " |", "|" + " --- |" * len(EXPORT_COLUMNS)]
    lines += [
        "| " + " | ".join(_escape_markdown(format_value(each)) for each in cells) + " |"
        for cells in _export_rows(run)
    ]
    return "\n".join(lines) + "\n"


def _escape_markdown(text: str) -> str:
    """Escapes one line of text, so that Markdown finds nothing to format in it."""
    return _MARKDOWN_SPECIALS.sub(r"\\\1", sanitize(text))
