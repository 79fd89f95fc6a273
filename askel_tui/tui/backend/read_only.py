"""Read-only mode below the screens: makes an instance unable to write, also for a function that is marked wrongly.

The journal refuses everything but reading (and the rate-limit slots that reading takes), state refuses changes to
connections and workflows, and a client refuses every request but GET.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from askel_tui.sync.instance import Instance


class ReadOnly(Exception):
    """Raised for a write in a console that was opened read-only."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is a write, and this console is read-only: open it without --read-only")


OTHER_JOURNAL_READS = frozenset(
    {"close", "follow_audit", "verify_audit", "wait_for_change", "take_slot", "release_slot"}
)
"""The methods besides those made by `reads` that change nothing, or take a rate-limit slot for reading."""

STATE_WRITES = frozenset(
    {
        "save_connection", "change_connection", "remove_connection", "save_workflow_version", "remove_workflow",
        "save_setting",
    }
)  # fmt: skip


def is_read(journal: type, name: str) -> bool:
    """Checks whether a method of the journal writes nothing."""
    return name in OTHER_JOURNAL_READS or getattr(getattr(journal, name, None), "only_reads", False)


class _ReadOnlyJournal:
    """A journal that can be read."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        if not is_read(type(self._journal), name):
            raise ReadOnly(name.replace("_", " "))
        return getattr(self._journal, name)


class _ReadOnlyState:
    """State that can be read; a catalog that was just read may be kept."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Any:
        if name in STATE_WRITES:
            raise ReadOnly(name.replace("_", " "))
        return getattr(self._state, name)


def make_read_only(instance: Instance) -> Instance:
    """Makes an instance unable to write."""
    guarded_journal: Any = _ReadOnlyJournal(instance.journal)
    instance.journal = guarded_journal
    guarded_state: Any = _ReadOnlyState(instance.state)
    instance.state = guarded_state
    given = instance.client_for

    async def client_for(key: str, revision: str, account: str, *, accept_retired: bool = False) -> Any:
        client = await given(key, revision, account, accept_retired=accept_retired)
        _allow_get_only(client)
        return client

    instance.client_for = client_for  # type: ignore[method-assign]
    return instance


def _allow_get_only(client: Any) -> None:
    call = client.call

    async def reading(name: str, **arguments: Any) -> Any:
        if client.endpoint(name, arguments.get("revision")).method != "GET":
            raise ReadOnly(name.replace("_", " "))
        return await call(name, **arguments)

    client.call = reading
