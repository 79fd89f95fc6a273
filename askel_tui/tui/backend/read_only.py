"""Read-only, enforced below the screens: what a read-only console opens cannot write, whoever asks.

The journal refuses everything but reading (and the places in the budget that reading takes), state refuses changes to
connections and workflows, and a client refuses every request but GET.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from askel_tui.sync.instance import Instance


class ReadOnly(Exception):
    """A write was asked of a console that was opened read-only."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is a write, and this console is read-only: open it without --read-only")


JOURNAL_READS = frozenset(
    {
        "close", "records_after", "newest_records", "record", "last_seq", "unplanned", "workflow_states", "ran",
        "waiting", "in_doubt", "profile_ids", "holds", "failures", "to_replan", "open_commands", "command", "places",
        "occupied", "take_place", "answer_place", "audit", "follow", "verify", "notices", "counts", "wait_change",
        "operation_state", "request_body", "unconfirmed",
    }
)  # fmt: skip
"""What only reads, and the places in the budget that reading takes; whatever else there is, is refused."""

STATE_WRITES = frozenset(
    {
        "save_connection", "change_connection", "remove_connection", "save_workflow_version", "remove_workflow",
        "save_setting",
    }
)  # fmt: skip


class _Journal:
    """A journal that can be read."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        if name not in JOURNAL_READS:
            raise ReadOnly(name.replace("_", " "))
        return getattr(self._journal, name)


class _State:
    """State that can be read; a catalog that was just read may be kept."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Any:
        if name in STATE_WRITES:
            raise ReadOnly(name.replace("_", " "))
        return getattr(self._state, name)


def guarded(instance: Instance) -> Instance:
    """The instance, made unable to write."""
    guarded_journal: Any = _Journal(instance.journal)
    instance.journal = guarded_journal
    guarded_state: Any = _State(instance.state)
    instance.state = guarded_state
    given = instance.client_for

    async def client_for(key: str, revision: str, account: str) -> Any:
        client = await given(key, revision, account)
        _only_get(client)
        return client

    instance.client_for = client_for  # type: ignore[method-assign]
    return instance


def _only_get(client: Any) -> None:
    call = client.call

    async def reading(name: str, **arguments: Any) -> Any:
        if client.endpoint(name).method != "GET":
            raise ReadOnly(name.replace("_", " "))
        return await call(name, **arguments)

    client.call = reading
