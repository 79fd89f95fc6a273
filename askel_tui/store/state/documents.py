"""The documents of state, validated whenever they are read or written."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from askel_tui.core.operations import OnConflict, Target
from askel_tui.store.errors import InvalidName

ScopeState = Literal["present", "missing", "not verified"]

_RETIRED_BEFORE = "2024-02-15"
"""The retired revision that connections could pin before a person was asked."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Doc(BaseModel):
    # Unknown fields are refused rather than dropped: a newer Askel wrote them.
    # Validators are built when the first document is validated: 28 ms and 4 MB of every start without it.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class BeforeMove(_Doc):
    """The revision from which a connection was moved: the way back, until somebody confirmed the move."""

    revision: str
    accept_retired: bool
    moved: int
    """The time of the move, in milliseconds since 1970."""
    confirmed: bool = False


class CanaryDoc(_Doc):
    """A move that is tried with the first people, before all others follow."""

    to: str
    accept_retired: bool
    since: int
    """The time at which it began, in milliseconds since 1970."""


class ConnectionDoc(_Doc):
    """One Klaviyo account as seen through one private key. The key itself is never here."""

    name: str
    account: str | None = None
    """The account's id; None where the key may not read it."""
    account_name: str | None = None
    key: str
    """The key's fingerprint."""
    revision: str
    accept_retired: bool = False
    """True if a revision that is retired may be served by another one's rules; else Klaviyo answers 410."""
    before_move: BeforeMove | None = None
    """The revision before the last move; None where it was never moved, or moved back."""
    canary: CanaryDoc | None = None
    """The move that is being tried; None where none is."""
    customer: str | None = None
    only_lists: tuple[str, ...] = ()
    """The only lists that the connection may touch; empty: all of them."""
    notify: tuple[str, ...] = Field(default=(), repr=False)
    """The addresses for notices. They may hold tokens, so they are never shown by `repr`."""
    on_conflict: OnConflict = "fail"
    pause_after: int | None = Field(default=None, ge=1)
    """The seconds of back-off after which a step is held; None: as the setting `pause_after` says."""
    scopes: dict[str, ScopeState] = {}
    created: int
    """The time of creation, in milliseconds since 1970."""

    @model_validator(mode="before")
    @classmethod
    def _take_over(cls, given: Any) -> Any:
        """Lets connections that were stored before this was asked go on as they did: that revision was retired."""
        if (
            isinstance(given, dict)
            and "accept_retired" not in given
            and given.get("revision") == _RETIRED_BEFORE
        ):
            return {**given, "accept_retired": True}
        return given


class PinnedStep(_Doc):
    """The targets that a step's names meant when its workflow was applied."""

    target: Target
    through: Target | None = None
    """The list or metric that carries a `trigger_flow`."""
    seen: dict[str, Any] = {}
    """The other facts about the targets at that time, for finding drift (`core.drift.dependencies.target_details`)."""


class WorkflowDoc(_Doc):
    """One version of a workflow. A version is never changed."""

    workflow: str
    version: int = Field(ge=1)
    connection: str
    file: str | None = None
    """The path of the file that it was read from, for messages."""
    source: str
    """The YAML text."""
    targets: dict[str, PinnedStep] = {}
    """The pinned targets by step id."""
    event_steps: dict[str, str] = {}
    """The step ids from which events' unique ids are derived, where these are not the steps' own."""
    applied: int
    """The time of applying, in milliseconds since 1970."""
    actor: str


def check_connection_name(name: str) -> str:
    """Checks a connection's name and returns it. Raises `InvalidName`."""
    if not _NAME.fullmatch(name):
        raise InvalidName(name)
    return name
