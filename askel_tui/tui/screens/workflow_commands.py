"""Commands on workflows and holds that several screens offer. Only inside `start_work`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from askel_tui.text.numbers import pluralize
from askel_tui.tui.backend import services
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.unsent_question import ask_about_unsent

if TYPE_CHECKING:
    from askel_tui.services.status import HoldStatus
    from askel_tui.store.journal.rows import Hold


async def pause_or_resume(screen: AskelScreen, workflow: str, status: str) -> None:
    """Pauses an active workflow or resumes a paused one. Raises `CommandRefused`, `CommandUnanswered`."""
    if status == "paused":
        await screen.with_progress(f"Resuming {workflow}", screen.backend.submit("resume", workflow=workflow))
        screen.toasts.show(f"{workflow} is active again: what waited is sent.")
    elif status == "active":
        await screen.with_progress(f"Pausing {workflow}", screen.backend.submit("pause", workflow=workflow))
        screen.toasts.show(f"{workflow} is paused: its records wait. p resumes it.")
    else:
        screen.toasts.show(f"{workflow} is a {status}: Dry run (5) is where it goes live.")


async def release_holds(screen: AskelScreen, holds: Sequence[Hold | HoldStatus]) -> None:
    """Asks, then releases a held step of one version or several. Raises `CommandRefused`, `CommandUnanswered`."""
    workflow, step, waiting = holds[0].workflow, holds[0].step, sum(hold.waiting for hold in holds)
    version = holds[0].version if len(holds) == 1 else None
    name, operations = f"{workflow}, step {step}", pluralize(waiting, "operation")
    reasons = dict.fromkeys(each.detail for hold in holds for each in hold.reasons)
    detail = f"{operations} will be sent, in order. Held because: {'; and '.join(reasons)}"
    if await screen.confirm(f"Release {name}?", detail):
        releasing = screen.backend.submit("release", workflow=workflow, version=version, step=step)
        released = await screen.with_progress(f"Releasing {name}", releasing)
        left = {each["detail"] for hold in released["holds"] for each in hold["stays"]}
        stays = f" It stays held while this is so: {'; '.join(sorted(left))}" if left else ""
        screen.toasts.show(f"{name} is released: {operations} on the way.{stays}")


async def replan_hold(screen: AskelScreen, hold: Hold | HoldStatus) -> None:
    """Shows what re-planning would make of what a hold of an older version keeps, asks, and does it. Raises
    `CommandRefused`, `CommandUnanswered`, `VersionUnreadable`."""
    workflow, step, backend = hold.workflow, hold.step, screen.backend
    version = await backend.call(services.running_version, workflow)
    answer = await ask_about_unsent(screen, workflow, version, step=step)
    if answer is None:
        return
    if answer.unsent is None:
        screen.toasts.show(f"Nothing of {step} waits under an older version than {version}, which runs.")
        return
    await screen.with_progress(
        "Planning anew", backend.call(services.replan, workflow, backend.actor, answer.consents, step=step)
    )
    screen.toasts.show(f"{workflow}: what waited for {step} is planned anew under version {version}.")
