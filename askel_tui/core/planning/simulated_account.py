"""Simulates the account for the dry run: which profile holds which identifier, operation after operation. Pure.

An operation is about the profile that holds an identifier in its request, as Klaviyo finds it (docs/klaviyo.md 3). So
a later record meets what an earlier one would have left. What becomes of an operation is decided as live decides it
(`disposition`); where the answer hangs on what Klaviyo has made of earlier operations by then, it depends on that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import Caps
from askel_tui.core.addressing import CONSENT_CALLS, addressed_identity
from askel_tui.core.operations import Identity, OnConflict, Operation
from askel_tui.core.opt_outs import OptOut, OwnOptOuts, join_opt_outs, lifted_by
from askel_tui.core.planning import diff
from askel_tui.core.planning.diff import Change, ProfileState
from askel_tui.core.planning.disposition import (
    SEND,
    UNKNOWN_OPT_IN_NOTE,
    Disposition,
    Known,
    dispose,
    dropped_event,
    left_out_note,
    resolve_conflict,
)
from askel_tui.core.segments import SegmentReads


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of an operation."""

    profile: ProfileState
    """The profile after the operation."""
    changes: Mapping[str, Change]
    disposition: Disposition = SEND
    creates_profile: bool = False
    """True if the profile would be new."""
    conflicting_profiles: tuple[ProfileState, ...] = ()
    """The holders of the identifiers, all of them, where Klaviyo would answer 409 (docs/klaviyo.md 3.1)."""
    operation: Operation | None = None
    """The operation that is sent instead: with fewer identifiers, where the connection's policy says so, or without
    the channels on which consent is refused."""
    merged_ids: tuple[str | None, ...] = ()
    """The ids of the profiles that would become part of this one for good."""
    notes: tuple[str, ...] = ()
    lifted: tuple[OptOut, ...] = ()
    """The opt-outs that it ends."""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What was read of an account besides its profiles."""

    opt_in: Mapping[str, str | None] = field(default_factory=dict)
    """The opt-in process of each list, by its id."""
    segments: Mapping[str, SegmentReads | None] = field(default_factory=dict)
    """What each segment reads, by its id; None where that is not known."""


class SimulatedAccount:
    """The profiles of an account, found by the identifiers they hold."""

    def __init__(
        self,
        facts: AccountFacts | None = None,
        *,
        now: int,
        server_now: int | None = None,
        on_conflict: OnConflict = "fail",
        limits: Caps | None = None,
    ) -> None:
        """Makes an account without profiles; `now`, and `server_now` by Klaviyo's clock, are in milliseconds since
        1970, `on_conflict` is the connection's policy."""
        self._facts = facts or AccountFacts()
        self._on_conflict: OnConflict = on_conflict
        self._now = now
        self._server_now = server_now
        self._limits = limits or Caps()
        self._holders: dict[str, ProfileState] = {}
        self._own = OwnOptOuts()
        self._members: dict[tuple[str, Identity], tuple[bool | None, list[ProfileState]]] = {}
        """What was read of memberships, by segment id and identity, with the holders of the identifiers then."""
        self._unsettled_keys: dict[str, str] = {}
        """Why it is not known who holds an identifier, by its key."""

    def add_profile(self, profile: ProfileState) -> None:
        """Adds a profile that the account has."""
        for key in _keys(profile):
            self._holders.setdefault(key, profile)

    def add_member(self, segment_id: str, identity: Identity, member: bool | None) -> None:
        """Adds whether a profile with one of the identifiers is in the segment; None where that can't be read.

        The profiles of the account were added before.
        """
        holders = self._found(identity)
        self._members[segment_id, identity] = member, holders
        if member is False or (member is True and len(holders) == 1):
            for holder in holders:
                holder.segments[segment_id] = member

    def find(self, identity: Identity) -> ProfileState | None:
        """Finds the profile that holds the strongest of the identifiers that are held."""
        return next(iter(self._found(identity)), None)

    def apply(self, operation: Operation, *, depends: str | None = None) -> Effect:
        """Applies the operation to the account, and returns its effect.

        `depends` says what it hangs on that it is sent at all; such an operation is not applied.
        """
        holders = self._found(addressed_identity(operation))
        profile = holders[0] if holders else ProfileState()
        known = self._known(operation, holders, profile)
        known = replace(known, changing=depends or known.changing)
        found = dispose(operation, known, self._now, self._limits, self._server_now)
        if found.kind in ("skip", "refuse", "wait"):
            return Effect(profile, {}, found)
        if found.kind == "depends":
            once_sent = dispose(
                operation, replace(known, changing=None), self._now, self._limits, self._server_now
            )
            hidden = operation.is_gate or once_sent.kind == "confirm" or bool(once_sent.refused)
            changes = {} if hidden else diff.find_changes(operation, profile)
            self._leave_open(operation, profile, changes, found.why)
            return Effect(profile, changes, found, notes=_notes(operation, known, once_sent))
        if operation.call == Call.CREATE_OR_UPDATE_PROFILE and len(holders) > 1:
            return self._apply_conflicting(operation, holders)
        sent = found.operation or operation
        lifted: tuple[OptOut, ...] = ()
        if (
            operation.call == Call.BULK_SUBSCRIBE_PROFILES
            and found.kind == "send"
            and known.opt_outs is not None
        ):
            lifted = tuple(lifted_by(sent, known.opt_outs))
        effect = self._write(sent, profile, found, (*_notes(sent, known, found), *map(_lifted_note, lifted)))
        if lifted:
            profile.unsettled["consent"] = f"whether Klaviyo has carried out step {operation.step} by then"
        return replace(effect, operation=found.operation, lifted=lifted)

    def _apply_conflicting(self, operation: Operation, holders: list[ProfileState]) -> Effect:
        resolution = resolve_conflict(operation, self._on_conflict, holders)
        if resolution.kind == "refuse":
            return Effect(holders[0], {}, conflicting_profiles=tuple(holders))
        if resolution.kind == "narrow":
            effect = self.apply(resolution.operation)
            left_out = (
                operation.profile.identifiers().keys() - resolution.operation.profile.identifiers().keys()
            )
            names = ", ".join(name for name in operation.profile.identifiers() if name in left_out)
            ids = " and ".join(str(each.id or "a new one") for each in holders)
            note = f"{names} is left out: the identifiers belong to several profiles ({ids})"
            return replace(effect, operation=resolution.operation, notes=(*effect.notes, note))
        into, gained = holders[0], dict[str, Change]()
        for source in holders[1:]:
            into.segments.clear()  # a segment may have another answer for the profile that they become
            gained |= diff.merge_into(into, source)
            for key in _keys(source):
                if self._holders.get(key) is source:
                    del self._holders[key]
        effect = self._write(operation, into, SEND)
        merged = tuple(each.id for each in holders[1:])
        changes = {**gained, **effect.changes}
        return replace(effect, changes=changes, merged_ids=merged)

    def _write(
        self, operation: Operation, profile: ProfileState, found: Disposition, notes: tuple[str, ...] = ()
    ) -> Effect:
        known, before = profile.id, _keys(profile)
        if found.kind == "confirm":
            changes: Mapping[str, Change] = {}
            diff.fill_identifiers(profile, addressed_identity(operation))
        else:
            changes = diff.find_changes(operation, profile)
            diff.apply_operation(operation, profile)
            if operation.call in CONSENT_CALLS:
                self._own.note(operation, self._now)
        created = known is None and profile.id is not None
        profile.written.update(dict.fromkeys(diff.written_names(operation, changes), operation.step))
        if created:
            profile.written["profile"] = operation.step
        self._note_unsettled(operation, profile, created)
        if profile.id is not None:
            after = _keys(profile)
            for key in before:
                if key not in after and self._holders.get(key) is profile:
                    del self._holders[key]
            self.add_profile(profile)
        return Effect(profile, changes, found, created, notes=notes)

    def _known(self, operation: Operation, holders: Sequence[ProfileState], profile: ProfileState) -> Known:
        """Collects what is known for an operation, and why it may be otherwise by the time that it is sent."""
        target = operation.destination
        ident = (target.id if target else None) or ""
        changing = next(
            (why for key in addressed_identity(operation).keys() if (why := self._unsettled_keys.get(key))),
            None,
        )
        match operation.call:
            case Call.GET_PROFILES_FOR_SEGMENT:
                member, unclear = self._member(ident, operation.profile)
                changing = changing or unclear or self._segment_changing(operation, profile)
                return Known(member=member, changing=changing)
            case Call.REMOVE_PROFILES_FROM_LIST:
                changing = changing or profile.unsettled.get("profile")
                return Known(exists=profile.id is not None, changing=changing)
            case Call.BULK_SUBSCRIBE_PROFILES:
                opt_outs = join_opt_outs([self._own.find(operation), *(each.opt_outs for each in holders)])
                if "proof" in operation.body:
                    changing = changing or profile.unsettled.get("consent")
                return Known(opt_in=self._facts.opt_in.get(ident), opt_outs=opt_outs, changing=changing)
            case Call.BULK_UNSUBSCRIBE_PROFILES if target is not None:
                changing = changing or profile.unsettled.get(f"list {ident}")
                return Known(member=ident in profile.lists, changing=changing)
        return Known(changing=changing)

    def _member(self, segment_id: str, identity: Identity) -> tuple[bool | None, str | None]:
        """Finds whether a profile with one of the identifiers is in the segment, or why that is not clear."""
        member, before = self._members.get((segment_id, identity), (None, None))
        if before is None:
            return None, None
        holders = self._found(identity)
        if [id(each) for each in holders] == [id(each) for each in before]:
            return member, None
        answers = [False if "profile" in each.written else each.segments.get(segment_id) for each in holders]
        if True in answers:
            return True, None
        if None in answers:
            return None, "which profile has the identifiers by then"
        return False, None

    def _segment_changing(self, gate: Operation, profile: ProfileState) -> str | None:
        """Describes the write of this run after which the segment may have another answer; None without one."""
        segment = gate.target
        reads = self._facts.segments.get((segment.id if segment else None) or "")
        if reads is None or segment is None:
            return None
        read = reads.find_read(name for name in profile.written if name != "profile")
        if read is None and reads.admits_blank and "profile" in profile.written:
            read = "profile"
        if read is None:
            return None
        what = "whether the profile exists" if read == "profile" else read
        return f"whether Klaviyo has computed {segment.name} anew after step {profile.written[read]} ({what})"

    def _leave_open(
        self, operation: Operation, profile: ProfileState, changes: Mapping[str, Change], why: str
    ) -> None:
        """Notes what is no longer known after an operation of which it is not known whether it is sent."""
        if operation.is_gate:
            return
        for key in operation.profile.keys():
            if self._holders.get(key) is not profile or profile.id is None:
                self._unsettled_keys.setdefault(key, why)
        for name in diff.written_names(operation, changes):
            profile.written.setdefault(name, operation.step)
            profile.unsettled.setdefault(name, why)
        if operation.call in CONSENT_CALLS:
            profile.unsettled.setdefault("consent", why)

    def _note_unsettled(self, operation: Operation, profile: ProfileState, created: bool) -> None:
        """Notes what Klaviyo works on after its answer: consent, and profiles that an event or consent makes."""
        target = operation.destination
        consent = operation.call in CONSENT_CALLS
        why = f"whether Klaviyo has carried out step {operation.step} by then"
        if consent and target is not None:
            profile.unsettled.setdefault(f"list {target.id}", why)
        if created and (consent or operation.call == Call.CREATE_EVENT):
            profile.unsettled.setdefault("profile", why)
        if operation.call in (Call.ADD_PROFILES_TO_LIST, Call.REMOVE_PROFILES_FROM_LIST) and target:
            profile.unsettled.pop(f"list {target.id}", None)

    def _found(self, identity: Identity) -> list[ProfileState]:
        found = (self._holders[key] for key in identity.keys() if key in self._holders)
        # Compared by object: new profiles have no id yet.
        return list({id(each): each for each in found}.values())


def _notes(operation: Operation, known: Known, found: Disposition) -> tuple[str, ...]:
    """Lists what is to be said of an operation that is sent: what has to be confirmed, is not kept, or is left out."""
    asks = operation.call == Call.BULK_SUBSCRIBE_PROFILES and not operation.body.get("historical")
    notes = (UNKNOWN_OPT_IN_NOTE,) if asks and known.opt_in is None else ()
    if found.kind == "confirm":
        notes = (found.why,)
    if found.refused and found.kind != "skip":
        notes = (*notes, found.refused)
    if (dropped := dropped_event(operation)) is not None:
        notes = (dropped,)
    if operation.body.get("left_out"):
        notes = (*notes, left_out_note(operation.body["left_out"]))
    return notes


def _lifted_note(opt_out: OptOut) -> str:
    return f"subscribed again: {opt_out.describe()}"


def _keys(profile: ProfileState) -> tuple[str, ...]:
    return Identity.from_attributes(profile.attributes).keys()
