"""Details of one record of a dry run: its changes step by step, and its exact requests. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.services.dry_run_result import remarks
from askel_tui.services.json_documents import to_json
from askel_tui.text.cells import truncate
from askel_tui.text.json_text import encode_json
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.text.changes import StyledText, change_lines
from askel_tui.tui.text.curl import curl_command

if TYPE_CHECKING:
    from askel_tui.services.dry_run_result import RecordPreview


def record_details(record: RecordPreview, width: int) -> list[StyledText]:
    """Composes the effects of a record, step by step, for a pane of `width` cells."""
    parts: list[StyledText] = [(f"{sanitize(record.record)}\n", "bold $accent")]
    parts.append(
        (" · ".join(sanitize(str(each)) for each in record.profile.values()) + "\n", "$foreground-muted")
    )
    if record.sent:
        parts.append((f"{sanitize(record.sent.describe(''))}\n", "$warning"))
    for problem in record.problems:
        where = " › ".join(filter(None, (problem.step, problem.field)))
        parts.append((f"✗ {sanitize(where)}{': ' if where else ''}{sanitize(problem.message)}\n", "$error"))
    for warning in record.warnings:
        where = " › ".join(filter(None, (warning.step, warning.field)))
        parts.append((f"! {sanitize(where)}{': ' if where else ''}{sanitize(warning.message)}\n", "$warning"))
    for operation in record.operations:
        target = operation.target
        named = f" {sanitize(target.type)} {truncate(target.name, 60)}" if target else ""
        gate = operation.request is None
        parts.append((f"\n{sanitize(operation.step)} ", "bold"))
        parts.append((f"{operation.kind}{named}\n", "$primary"))
        said = remarks(operation)
        sign = "✗" if operation.passes is False else "!"
        parts += [(f"  {sign} {sanitize(each)}\n", "$warning") for each in said]
        if operation.passes is True:
            parts.append(("  ✓ let through\n", "$success"))
        elif gate and not said:
            parts.append(("  ✗ not let through\n", "$warning"))
        elif not operation.changes and not said:
            parts.append(("  = no change\n", "$foreground-muted"))
        for field, change in operation.changes.items():
            parts += change_lines(field, change, width)
    for skip in record.skipped:
        parts += [
            (f"\n{sanitize(skip.step)} ", "bold"),
            (f"skipped: {sanitize(skip.why)}\n", "$warning"),
        ]
    return parts


def requests(record: RecordPreview) -> list[dict[str, Any]]:
    """Lists the exact requests of a record, each with its step."""
    return [
        {"step": each.step, **to_json(each.request)} for each in record.operations if each.request is not None
    ]


def requests_json(record: RecordPreview) -> str:
    """Formats a record's requests as one JSON document."""
    return encode_json(requests(record), indent=2)


def requests_curl(record: RecordPreview, revision: str, address: str) -> str:
    """Formats a record's requests as curl commands, with the key as a variable."""
    commands = [
        f"# {sanitize(each['step'])}\n"
        + curl_command(each["method"], each["path"], each["body"], revision, address)
        for each in requests(record)
    ]
    return "\n\n".join(commands)
