"""Lines against a plain reference: people who were ever linked are one line, however little is read at a time."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.lines import MAX_PARTNERS, LinkRow, Links, identifier_numbers
from askel_tui.core.operations import Identity
from tests.support.examples import examples

IDENTITIES = st.builds(
    Identity,
    st.sampled_from([None, *(f"{name}@x.example" for name in "abcdefgh")]),
    st.sampled_from([None, "+44201", "+44202", "+44203"]),
    st.sampled_from([None, *(f"S-{number}" for number in range(8))]),
).filter(lambda each: each.identifiers())


class Reference:
    """Links as they are told: sets of identifiers, searched from end to end."""

    def __init__(self) -> None:
        self.partners: dict[str, set[str]] = defaultdict(set)
        self.shared: set[str] = set()
        self.linked: list[set[str]] = []

    def link(self, identity: Identity) -> None:
        keys = set(identity.keys())
        for key in keys:
            self.partners[key] |= {each for each in keys - {key} if not each.startswith("phone")}
            if any(
                sum(each.startswith(kind) for each in self.partners[key]) > MAX_PARTNERS
                for kind in ("email", "external")
            ):
                self.shared.add(key)
        self.linked.append(keys - self.shared)

    def line(self, key: str) -> frozenset[str]:
        found = {key}
        while more := {each for keys in self.linked if keys & found for each in keys} - found:
            found |= more
        return frozenset(found)

    def lines(self, identity: Identity) -> set[frozenset[str]]:
        keys = set(identity.keys())
        shared_phones = {key for key in keys & self.shared if key.startswith("phone")}
        return {self.line(key) for key in (keys - shared_phones or keys)}


class Kept:
    """Links that are kept in a table: what is at hand is read, linked and written back."""

    def __init__(self) -> None:
        self.table: dict[int, LinkRow] = {}
        self.current: dict[int, int] = {}
        """The line that each joined line went into."""

    def read(self, identities: list[Identity]) -> Links:
        rows: dict[int, LinkRow] = {}
        missing = {number for each in identities for number in identifier_numbers(each)}
        while missing:
            found = {number: self.table[number] for number in missing if number in self.table}
            rows |= found
            missing = {row.toward for row in found.values()} - rows.keys() - missing
        return Links(rows)

    def link(self, identities: list[Identity]) -> list[tuple[int, ...]]:
        links = self.read(identities)
        for each in identities:
            links.link(identifier_numbers(each))
        self.table |= links.changed
        self.current |= dict(links.joined)
        return [links.lines(identifier_numbers(each)) for each in identities]

    def resolve(self, lines: tuple[int, ...]) -> set[int]:
        """The lines in which what waited in `lines` waits now."""
        found = set()
        for line in lines:
            while line in self.current:
                line = self.current[line]
            found.add(line)
        return found


@examples(200)
@given(st.lists(st.lists(IDENTITIES, max_size=8), max_size=8), st.lists(IDENTITIES, max_size=6))
def test_lines_are_what_was_ever_linked(batches: list[list[Identity]], asked: list[Identity]) -> None:
    reference, kept = Reference(), Kept()
    waiting: list[tuple[Identity, tuple[int, ...]]] = []
    for batch in batches:
        for each in batch:
            reference.link(each)
        waiting += zip(batch, kept.link(batch), strict=True)
    people = [*(who for who, _ in waiting), *asked]
    for one, other in combinations(people, 2):
        numbers = [kept.read([each]).lines(identifier_numbers(each)) for each in (one, other)]
        together = bool(reference.lines(one) & reference.lines(other))
        assert bool({*numbers[0]} & {*numbers[1]}) == together
    # What was joined stays joined until it is sent: nothing that waits leaves a line that it shares.
    for (one, lines), (other, others) in combinations(waiting, 2):
        if {*lines} & {*others} or (reference.lines(one) & reference.lines(other) and not reference.shared):
            assert kept.resolve(lines) & kept.resolve(others)


def test_a_phone_beside_a_sixth_email_links_nobody_any_more() -> None:
    links, phone = Links(), "+44201"
    people = [Identity(f"{name}@x.example", phone) for name in "abcdefg"]
    for each in people:
        links.link(identifier_numbers(each))
    lines = [links.lines(identifier_numbers(each)) for each in people]
    assert len({*lines[:5]}) == 1
    assert len({*lines}) == 3
    assert links.newly_shared == [identifier_numbers(people[0])[1]]


def test_an_external_id_beside_a_sixth_email_joins_none_and_orders_all_that_name_it() -> None:
    links = Links()
    people = [Identity(f"{name}@x.example", None, "S-1") for name in "abcdefg"]
    for each in people:
        links.link(identifier_numbers(each))
    shared = {*links.lines(identifier_numbers(Identity(external_id="S-1")))}
    assert all(shared & {*links.lines(identifier_numbers(each))} for each in people)
    alone = links.lines(identifier_numbers(Identity("g@x.example")))
    assert not shared & {*alone}
