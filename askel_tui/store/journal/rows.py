"""The rows of the journal: the values that its methods take and give.

Rows that are made by the hundred thousand are not frozen, since that doubles their cost; no code changes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from askel_tui.contract.calls import Call
from askel_tui.core.hold_causes import HoldReason
from askel_tui.core.lines import identifier_numbers
from askel_tui.core.operations import Encoder, Identity, Operation, StepKind, Target
from askel_tui.core.records.record import Record

AcceptResult = Literal["new", "same", "other_body"]
"""The result for a record: stored, known with the same body, or known with another body."""

OperationState = Literal["waiting", "held", "failed"]
"""The states of an operation that is not settled. Settled ones leave the queue; the audit keeps them."""

Outcome = Literal["written", "unconfirmed", "failed", "passed", "skipped", "discarded"]
"""The end of an operation; a gate that lets its record through has `passed`."""

WorkflowStatus = Literal["draft", "active", "paused"]


class LateLine(NamedTuple):
    """A line that was found to be one late: older records may be sent, or were sent, after newer ones."""

    waiting: Sequence[int]
    """The operations (`seq`) that wait and are older than one that was sent."""
    sent: Sequence[int]
    """The records (`seq`) that were sent last."""
    line: int = 0


JoinedLines = Sequence[tuple[int, int]]
"""Lines that were found to be one with another: each is no more, and what waits in it waits in the other."""


@dataclass(slots=True)
class StoredRecord:
    """A stored record. `seq` is its number in the order of receipt, `received` is in milliseconds since 1970."""

    seq: int
    connection: str
    received: int
    record: Record


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """The state of a workflow, which changes while it runs.

    `position` is the `seq` of the last record that was planned under this workflow; None before it was activated.
    `since` is the activation's `--since`, RFC 3339: older records are passed over. `replan` is set while what is unsent
    is planned anew, and nothing of the workflow is sent or planned meanwhile: a JSON object, see `tables.replanning`.
    `first` is the number of records that are still to be planned before the workflow pauses by itself (`--first`).
    `history` says which records are history, and what starts flows then: `core.planning.history.History`, encoded.
    """

    workflow: str
    connection: str
    status: WorkflowStatus
    version: int
    position: int | None = None
    since: str | None = None
    replan: str | None = None
    first: int | None = None
    history: str | None = None


class PlannedRun(NamedTuple):
    """The plan of one record under one workflow, encoded to be stored; see `encode_run`."""

    record_seq: int
    record: str
    keys: Sequence[int]
    """The numbers of the identifiers of the record's profile (see `core.lines.identifier_numbers`)."""
    operations: Sequence[tuple[str, bool, bytes]]
    """The operations: each one's step, whether it is a gate, and its canonical bytes."""
    problems: Sequence[Mapping[str, str]]
    """The problems as {step, field, message}; where there are some, the whole record failed."""
    warnings: Sequence[tuple[str, str]] = ()
    """The kind and the sentence of each warning."""


def encode_run(
    record_seq: int,
    record: str,
    operations: Sequence[Operation] = (),
    problems: Sequence[Mapping[str, str]] = (),
    encoder: Encoder | None = None,
    warnings: Sequence[tuple[str, str]] = (),
) -> PlannedRun:
    """Encodes the plan of a record; runs that are made together share an encoder."""
    encode = (encoder or Encoder()).encode
    keys = identifier_numbers(operations[0].profile) if operations else ()
    encoded = [(each.step, each.is_gate, encode(each)) for each in operations]
    return PlannedRun(record_seq, record, keys, encoded, problems, warnings)


@dataclass(slots=True)
class StoredOperation:
    """An operation in the queue. `seq` is its number in the order of arrival; times are milliseconds since 1970."""

    seq: int
    connection: str
    workflow: str
    version: int
    record_seq: int
    record: str
    index: int
    """The position among the operations of its record under the workflow, from 0."""
    operation: Operation
    state: OperationState = "waiting"
    attempts: int = 0
    due: int = 0
    retrying_since: int = 0
    """The time of the first failed attempt since the last success or release; 0 while there is none."""
    reason: str | None = None
    has_fewer_identifiers: bool = False
    """True if `operation` was sent with fewer identifiers than the journal holds: the audit then shows the fewer."""
    lines: Sequence[int] = field(default=(), compare=False)
    """The lines in which the operation waits, when it was planned or read (see `core.lines`); empty if not known."""
    passed_by: int = field(default=0, compare=False)
    """The newest record that was written in these lines while a workflow was paused; 0 without one."""
    warning: tuple[str | None, str] | None = None
    """A warning about what is sent: the kind that it is counted under once it ends, if it is, and its sentence."""


@dataclass(frozen=True, slots=True)
class RequestIntent:
    """A request that is about to be sent: written before the first byte, so that a crash leaves it in doubt."""

    connection: str
    account: str
    call: Call
    """The Klaviyo operation's name in the contract data."""
    method: str
    path: str
    body: bytes
    revision: str
    key: str
    """The fingerprint of the key that it is sent with."""
    operation_seqs: Sequence[int]
    """The `seq` of the operations that it carries; empty for one that only prepares (upserts identifiers, say)."""
    parts: Sequence[int] = ()
    """The lengths of the parts of the body that the audit commits to one by one; empty for the body as a whole."""


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request without an answer on record: after a start it is in doubt."""

    id: int
    intent: RequestIntent
    opened: int
    operations: Sequence[StoredOperation] = ()
    job: str | None = None
    """The job that Klaviyo made of it, where its id was written down before the program stopped."""


class GateAnswer(NamedTuple):
    """The answer of the account to a gate: whether the profile is in the segment, and when that was read
    (milliseconds since 1970)."""

    member: bool
    read: int


@dataclass(slots=True)
class SettledOperation:
    """An operation that ends, carried by a request or by none. `detail` says why, for people."""

    operation: StoredOperation
    outcome: Outcome
    status: int | None = None
    """The HTTP status, where there was an answer."""
    response: bytes | None = None
    detail: str | None = None
    ms: int | None = None
    differences: Sequence[Mapping[str, Any]] = ()
    """What Klaviyo's answer shows otherwise than it was sent, as `core.requests.differences` finds it."""
    gate: GateAnswer | None = None
    """The answer that a gate got."""
    warning: str | None = None
    """The kind of warning that it is counted under."""


@dataclass(frozen=True, slots=True)
class DelayedOperation:
    """An operation that is tried again, not before `due` (milliseconds since 1970)."""

    operation: StoredOperation
    due: int
    detail: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A step of a version that may not send. `cause` is one of `core.hold_causes`, `detail` is for people."""

    connection: str
    workflow: str
    version: int
    step: str
    cause: str
    detail: str
    since: int
    waiting: int = 0
    until: int | None = None
    """The time before which Klaviyo asked not to be called."""
    stays: bool = False
    """True if it came back so often that only a person ends it."""
    repeats: int = 0
    """The number of times that it came back soon after it had ended by itself."""
    incident: str = ""
    """The name of the cause that it shares with other holds; see `core.incidents`."""
    others: tuple[HoldReason, ...] = ()
    """What else would hold the step, were it not for `cause`."""

    @property
    def reasons(self) -> tuple[HoldReason, ...]:
        """All reasons for which the step is held, the first one first."""
        return HoldReason(self.cause, self.detail), *self.others

    @property
    def key(self) -> tuple[str, int, str]:
        """The workflow, version and step: a step of a version has one hold at most."""
        return self.workflow, self.version, self.step

    def release_arguments(self) -> dict[str, Any]:
        """Returns the arguments of the command that ends this hold, if it still has this cause then."""
        return {name: getattr(self, name) for name in ("workflow", "version", "step", "cause")}


@dataclass(frozen=True, slots=True)
class Command:
    """A command to the daemon that owns the home, and its result. `at` is in milliseconds since 1970."""

    id: int
    name: str
    arguments: Mapping[str, Any]
    actor: str
    at: int
    state: Literal["open", "done", "refused"] = "open"
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line per write and per decision; `prev` and `hash` chain them. `at` is in milliseconds since 1970."""

    seq: int
    """The number of the entry in its chain."""
    at: int
    actor: str
    connection: str | None
    workflow: str | None
    step: str | None
    record: str | None
    operation: str | None
    kind: str
    """A step kind, or the word for a decision (`activate`, `hold`, `release`, `connect`, …)."""
    profile: Mapping[str, str] | None
    target: Mapping[str, Any] | None
    request: Mapping[str, Any] | None
    """The request: {id, method, path, body}; the body of a packed request is stored once."""
    status: str
    """An outcome, or `done` for a decision."""
    response: Mapping[str, Any] | None
    """The response: {status, body}, where there was an answer, `detail`, `differences` from what was sent, and
    the answer of a `gate`: {member, read, age_ms}."""
    attempts: int
    ms: int | None
    revision: str | None
    key: str | None
    prev: str
    hash: str
    chain: str
    payload: str | None
    """The commitment to profile and response; None in entries of version 0.1.0, which hold them as they are."""
    position: int
    """The number of the entry in the order in which all entries are shown."""
    claimed: str | None = None
    """Who the record says was behind it, where that is not `actor`, who handed it in."""


@dataclass(frozen=True, slots=True)
class UnconfirmedWrite:
    """An audit entry of a write that Klaviyo accepted without saying whether it was carried out."""

    seq: int
    """The row of the entry; `number` is its number in its chain."""
    number: int
    at: int
    connection: str
    workflow: str
    step: str
    record: str
    operation: str
    kind: StepKind
    profile: Identity
    target: Target | None
    request: int


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The result of reading back an unconfirmed write: the status and detail of the entry that is written for it."""

    write: UnconfirmedWrite
    status: str
    detail: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """A filter of audit entries; None is any. Times are milliseconds since 1970."""

    connection: str | None = None
    workflow: str | None = None
    step: str | None = None
    record: str | None = None
    profile: str | None = None
    status: str | None = None
    kind: str | None = None
    since: int | None = None
    until: int | None = None
    text: str | None = None
    actor: str | None = None
    """Who it was (`token:shop`, or `shop` alone), or who a record claims."""
    differing: bool = False
    """True if only entries are wanted of which Klaviyo's answer differs from what was sent."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that failed under a workflow: in planning (`problems`), or a step of it (`operation`)."""

    id: int
    connection: str
    workflow: str
    version: int
    record_seq: int
    record: str
    step: str | None
    reason: str
    at: int
    problems: Sequence[Mapping[str, str]] = ()
    operation: StoredOperation | None = None
    discarded: int | None = None
    """When a person discarded it, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The audit entry of a decision, committed with the change that it describes."""

    kind: str
    actor: str
    connection: str | None = None
    workflow: str | None = None
    step: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    record: str | None = None
    """The record that caused it."""


@dataclass(frozen=True, slots=True)
class WorkflowCounts:
    """The numbers of a workflow's operations by state. `sent` counts those that were written or are unconfirmed,
    `differing` the writes of which Klaviyo's answer shows something otherwise than it was sent."""

    waiting: int = 0
    held: int = 0
    failed: int = 0
    sent: int = 0
    differing: int = 0
    discarded: int = 0
    """The number of discarded operations and plans that can still be taken up again."""


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """The numbers of a workflow's records that are kept, each counted once, under the first word that is true of it.

    `failed` are the failures that `failed list` shows, `held` have an operation behind a hold, `waiting` one that
    waits; `discarded` were given up, and of `done` ones nothing is left to do.
    """

    waiting: int = 0
    held: int = 0
    failed: int = 0
    done: int = 0
    discarded: int = 0
