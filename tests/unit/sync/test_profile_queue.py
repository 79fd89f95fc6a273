"""The queue against a simple model of it: one profile's operations one after another, in order, none lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from askel_tui.contract.calls import Call
from askel_tui.core.lines import connection_numbers, identifier_numbers
from askel_tui.core.operations import Identity, Operation, Target
from askel_tui.core.requests.packing import batch_key
from askel_tui.store.journal.rows import StoredOperation
from askel_tui.sync.dispatching.profile_queue import Lane, ProfileQueue
from tests.support.examples import examples

ADD = Call.ADD_PROFILES_TO_LIST
UPSERT = Call.CREATE_OR_UPDATE_PROFILE
PEOPLE = [
    Identity("a@x.example"),
    Identity("A@X.EXAMPLE", "+15550100"),
    Identity(None, "+15550100", "S-1"),
    Identity(None, None, "S-1"),
    Identity("b@x.example", None, "S-2"),
    Identity("b@x.example"),
    Identity("c@x.example"),
]


def stored(
    seq: int,
    who: Identity,
    *,
    call: Call = ADD,
    connection: str = "maple-ember",
    workflow: str = "w",
    step: str = "s",
    record_seq: int = 1,
    due: int = 0,
) -> StoredOperation:
    """An operation in the queue at `seq`."""
    operation = Operation(
        f"op{seq}",
        step,
        "add_to_list" if call == ADD else "upsert_profile",
        call,
        who,
        Target("list", "L", "List") if call == ADD else None,
    )
    return StoredOperation(seq, connection, workflow, 1, record_seq, f"r{record_seq}", 0, operation, due=due)


def numbers(one: StoredOperation) -> tuple[int, ...]:
    """The lines of an operation, where nothing was linked."""
    return connection_numbers(one.connection, identifier_numbers(one.operation.profile))


def rank(one: StoredOperation) -> tuple[int, int]:
    return one.record_seq, one.seq


def ready_in(queue: ProfileQueue) -> set[int]:
    return {seq for call in queue.calls() for _, ready in queue.lanes(call) for seq in ready}


class QueueAgainstModel(RuleBasedStateMachine):
    """Every operation here, and which of them are being sent; what is ready follows from that alone."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ProfileQueue()
        self.here: dict[int, StoredOperation] = {}
        self.sent: set[int] = set()
        self.along: set[frozenset[int]] = set()
        """Pairs of which the later one was taken along with the earlier one."""
        self.joined: dict[int, int] = {}
        """The line that each joined line went into."""

    def lines(self, one: StoredOperation) -> set[int]:
        """The lines of an operation as they are now."""
        found = set()
        for line in numbers(one):
            while line in self.joined:
                line = self.joined[line]
            found.add(line)
        return found

    @rule(
        one=st.sampled_from(PEOPLE),
        other=st.sampled_from(PEOPLE),
        connection=st.sampled_from(["maple-ember", "oak"]),
    )
    def join(self, one: Identity, other: Identity, connection: str) -> None:
        lines = self.lines(stored(0, one, connection=connection)) | self.lines(
            stored(0, other, connection=connection)
        )
        joined = [(line, min(lines)) for line in lines if line != min(lines)]
        self.joined |= dict(joined)
        self.queue.join(joined)
        for pair in combinations(self.sent, 2):
            if self.lines(self.here[pair[0]]) & self.lines(self.here[pair[1]]):
                self.along.add(frozenset(pair))

    def ready(self) -> set[int]:
        return {
            seq
            for seq, one in self.here.items()
            if seq not in self.sent
            and not any(
                self.lines(one) & self.lines(other) and (rank(other) < rank(one) or other_seq in self.sent)
                for other_seq, other in self.here.items()
                if other_seq != seq
            )
        }

    @rule(
        seq=st.integers(1, 60),
        who=st.sampled_from(PEOPLE),
        call=st.sampled_from([ADD, UPSERT]),
        connection=st.sampled_from(["maple-ember", "oak"]),
        workflow=st.sampled_from(["w", "v"]),
        step=st.sampled_from(["s", "t"]),
        record_seq=st.integers(1, 3),
        due=st.integers(0, 5),
    )
    def add(
        self,
        seq: int,
        who: Identity,
        call: Call,
        connection: str,
        workflow: str,
        step: str,
        record_seq: int,
        due: int,
    ) -> None:
        one = stored(
            seq,
            who,
            call=call,
            connection=connection,
            workflow=workflow,
            step=step,
            record_seq=record_seq,
            due=due,
        )
        self.here.setdefault(seq, one)
        self.queue.add(one)

    @precondition(lambda self: self.ready())
    @rule(data=st.data(), limit=st.integers(1, 3), now=st.integers(0, 5))
    def take(self, data: st.DataObject, limit: int, now: int) -> None:
        lanes = [lane for call in self.queue.calls() for lane, _ in self.queue.lanes(call)]
        lane = data.draw(st.sampled_from(lanes))
        could = {
            seq
            for seq in self.ready()
            if Lane(self.here[seq].connection, batch_key(self.here[seq].operation)) == lane
            and self.here[seq].due <= now
        }
        taken = self.queue.take(lane, limit, now)
        seqs = {one.seq for one in taken}
        assert len(seqs) == len(taken) == min(limit, len(could))
        assert seqs <= could
        assert all(self.here[one.seq] == one for one in taken)
        self.sent |= seqs

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), due=st.integers(0, 5))
    def put_back(self, data: st.DataObject, due: int) -> None:
        seq = data.draw(st.sampled_from(sorted(self.sent)))
        again = replace(self.here[seq], due=due, attempts=self.here[seq].attempts + 1)
        self.queue.put_back(again)
        self.here[seq] = again
        self.sent.remove(seq)

    @rule(seq=st.integers(1, 60))
    def remove(self, seq: int) -> None:
        self.queue.remove(seq)
        self.here.pop(seq, None)
        self.sent.discard(seq)

    @rule(seq=st.integers(1, 60))
    def put_back_what_is_gone(self, seq: int) -> None:
        if seq not in self.here:
            self.queue.put_back(stored(seq, PEOPLE[0]))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), call=st.sampled_from([ADD, UPSERT]))
    def take_next(self, data: st.DataObject, call: Call) -> None:
        seq = data.draw(st.sampled_from(sorted(self.sent)))
        one = self.here[seq]
        following = self.following(one)
        behind = self.queue.next_of_profile(one)
        taken = self.queue.take_next_of_record(one, call)
        if taken is None:
            return
        assert behind == taken
        assert following == {taken.seq}
        assert (taken.workflow, taken.record_seq) == (one.workflow, one.record_seq)
        assert taken.operation.call == call
        self.goes_along(seq, taken)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def take_along(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.sent)))
        following = self.following(self.here[seq])
        behind = self.queue.next_of_profile(self.here[seq])
        if behind is None:
            return
        assert following == {behind.seq}
        assert behind.operation.profile.keys() == self.here[seq].operation.profile.keys()
        self.queue.take_carried(behind)
        self.goes_along(seq, behind)

    def following(self, one: StoredOperation) -> set[int | None]:
        """What stands behind an operation in its lines."""
        found: set[int | None] = set()
        for key in self.lines(one):
            line = sorted((each for each in self.here.values() if key in self.lines(each)), key=rank)
            behind = [each.seq for each in line if rank(each) > rank(one)]
            found.add(behind[0] if behind else None)
        return found

    def goes_along(self, seq: int, taken: StoredOperation) -> None:
        assert taken.seq not in self.sent
        before = {other for pair in self.along if seq in pair for other in pair} | {seq}
        self.sent.add(taken.seq)
        self.along |= {frozenset((other, taken.seq)) for other in before}

    @rule(workflow=st.sampled_from(["w", "v"]))
    def remove_of_workflow(self, workflow: str) -> None:
        self.queue.remove_of_workflow(workflow)
        for seq, one in list(self.here.items()):
            if one.workflow == workflow and seq not in self.sent:
                del self.here[seq]

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        assert len(self.queue) == len(self.here)

    @invariant()
    def one_profile_has_one_operation_under_way(self) -> None:
        for one, other in combinations(self.sent, 2):
            if frozenset((one, other)) not in self.along:
                assert not self.lines(self.here[one]) & self.lines(self.here[other])

    @invariant()
    def ready_are_exactly_the_oldest_of_idle_profiles(self) -> None:
        assert ready_in(self.queue) == self.ready()

    @invariant()
    def lanes_hold_what_may_travel_together(self) -> None:
        for call in self.queue.calls():
            for lane, ready in self.queue.lanes(call):
                assert ready
                assert {Lane(one.connection, batch_key(one.operation)) for one in ready.values()} == {lane}
                assert lane.batch_key.call == call
                assert all(ready[seq] == self.here[seq] for seq in ready)

    @invariant()
    def next_due_is_the_first_of_those_that_wait(self) -> None:
        for now in (0, 3):
            later = [self.here[seq].due for seq in self.ready() if self.here[seq].due > now]
            assert self.queue.next_due(now) == min(later, default=None)


def test_the_next_operation_of_a_record_travels_along() -> None:
    queue = ProfileQueue()
    upsert, addition = stored(1, PEOPLE[0], call=UPSERT), stored(2, PEOPLE[0])
    for one in (upsert, addition, stored(3, PEOPLE[0], record_seq=2)):
        queue.add(one)
    queue.take(lane_of(upsert), 1, 0)
    assert queue.take_next_of_record(upsert, ADD) == addition
    assert queue.take_next_of_record(addition, ADD) is None
    queue.remove(1)
    assert ready_in(queue) == set()
    queue.remove(2)
    assert ready_in(queue) == {3}


def test_what_stands_behind_a_failed_operation_in_its_record_goes_with_it() -> None:
    queue = ProfileQueue()
    for seq in (1, 2, 3):
        queue.add(replace(stored(seq, PEOPLE[0], record_seq=1 + seq // 3), index=seq))
    failed = replace(stored(1, PEOPLE[0]), index=1)
    queue.remove(1)
    queue.remove_later_of_record(failed)
    assert ready_in(queue) == {3}


def test_live_operations_have_a_lane_of_their_own_and_keep_the_order_of_their_profile() -> None:
    queue = ProfileQueue()
    queue.add(stored(1, PEOPLE[0], call=UPSERT))
    queue.add(stored(2, PEOPLE[0], call=UPSERT), live=True)
    queue.add(stored(3, PEOPLE[6], call=UPSERT), live=True)
    lanes = {lane.live: set(ready) for lane, ready in queue.lanes(UPSERT)}
    assert lanes == {False: {1}, True: {3}}
    queue.remove(1)
    assert {lane.live: set(ready) for lane, ready in queue.lanes(UPSERT)} == {True: {3, 2}}


TestQueueAgainstModel = pytest.mark.slow(QueueAgainstModel.TestCase)
TestQueueAgainstModel.settings = examples(150, stateful_step_count=40)


def lane_of(one: StoredOperation) -> Lane:
    return Lane(one.connection, batch_key(one.operation))


def test_a_list_takes_all_that_waits_for_it_over_profiles_but_one_of_each() -> None:
    queue = ProfileQueue()
    people = [Identity(f"p{number}@x.example") for number in range(3)]
    for seq, who in enumerate([*people, people[0]], 1):
        queue.add(stored(seq, who))
    lane = lane_of(stored(1, people[0]))
    assert [one.seq for one in queue.take(lane, 1000, 0)] == [1, 2, 3]
    assert queue.take(lane, 1000, 0) == []
    queue.remove(1)
    assert [one.seq for one in queue.take(lane, 1000, 0)] == [4]


def test_a_chain_of_identifiers_keeps_its_order() -> None:
    queue = ProfileQueue()
    chain = [PEOPLE[0], PEOPLE[1], PEOPLE[2], PEOPLE[3]]
    for seq, who in enumerate(chain, 1):
        queue.add(stored(seq, who, call=UPSERT))
    order = []
    while len(queue):
        (seq,) = ready_in(queue)
        (one,) = queue.take(lane_of(stored(seq, chain[seq - 1], call=UPSERT)), 1, 0)
        order.append(one.seq)
        queue.remove(seq)
    assert order == [1, 2, 3, 4]


def test_an_older_operation_that_comes_back_waits_for_the_one_under_way_and_is_next() -> None:
    queue = ProfileQueue()
    queue.add(stored(5, PEOPLE[0], call=UPSERT))
    queue.add(stored(6, PEOPLE[0], call=UPSERT))
    queue.take(lane_of(stored(5, PEOPLE[0], call=UPSERT)), 1, 0)
    queue.add(stored(2, PEOPLE[0], call=UPSERT))
    assert ready_in(queue) == set()
    queue.put_back(stored(5, PEOPLE[0], call=UPSERT))
    assert ready_in(queue) == {2}
    queue.remove(2)
    assert ready_in(queue) == {5}


def test_one_key_on_two_connections_is_two_profiles() -> None:
    queue = ProfileQueue()
    queue.add(stored(1, PEOPLE[0]))
    queue.add(stored(2, PEOPLE[0], connection="oak"))
    assert ready_in(queue) == {1, 2}


def test_what_is_not_due_waits_at_the_head_of_its_profile() -> None:
    queue = ProfileQueue()
    queue.add(stored(1, PEOPLE[0], due=100))
    queue.add(stored(2, PEOPLE[0]))
    lane = lane_of(stored(1, PEOPLE[0]))
    assert queue.take(lane, 10, 99) == []
    assert queue.next_due(99) == 100
    assert [one.seq for one in queue.take(lane, 10, 100)] == [1]
    assert queue.next_due(0) is None
