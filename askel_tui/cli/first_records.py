"""Going live by steps: shows the first records before and after they are sent, and asks how to go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from askel_tui.cli.output import format_cell, put_message, put_table
from askel_tui.cli.questions import choose
from askel_tui.text.json_text import format_value
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.services.dry_run_result import DryRun
    from askel_tui.services.reconciling.first_records import ComparedField
    from askel_tui.sync.instance import Instance

GO_ON, STAY_PAUSED = "--go-on", "--stay-paused"
CHOICES = {GO_ON: "sends the others", STAY_PAUSED: "leaves it paused"}


async def follow_first(instance: Instance, run: DryRun, count: int, then: str | None, actor: str) -> None:
    """Waits until the first records are sent, shows what Klaviyo holds of them beside the dry run, and asks.

    `then` is the answer, where it was given beforehand. Raises `CommandError` without one and without a terminal.
    """
    from askel_tui.services.reconciling.first_records import compare_first, wait_until_sent
    from askel_tui.sync.engine.command_bus import submit

    name, records = run.workflow, [record.record for record in run.records]
    if not records:
        put_message(
            f"no record is there yet: {name} pauses by itself after the first {count:,}; "
            f"`askel reconcile {name}` compares then"
        )
        return
    paused = await wait_until_sent(instance, name, records)
    put_comparison(await compare_first(instance, run))
    if not paused:
        there = pluralize(len(records), "record was", "records were")
        put_message(f"{there} there: {name} pauses by itself after the first {count:,}")
        return
    chosen = then or choose(f"{name} has paused after {pluralize(len(records), 'record')}: go on?", CHOICES)
    if chosen == GO_ON:
        await submit(instance, "resume", {"workflow": name}, actor)
        put_message(f"{name} is active again")
    else:
        put_message(f"{name} stays paused; `askel workflow resume {name}` sends the others")


def put_comparison(fields: Sequence[ComparedField]) -> None:
    """Prints what the dry run said beside what Klaviyo holds now."""
    put_table(
        ("record", "profile", "field", "dry run", "Klaviyo now", ""),
        [
            (
                each.record,
                each.profile,
                each.field,
                format_cell(format_value(each.said)),
                format_cell(format_value(each.now)),
                "" if each.same else "differs",
            )
            for each in fields
        ],
    )
    same = sum(each.same for each in fields)
    put_message(f"{same:,} of {pluralize(len(fields), 'field')} as the dry run said")
