"""Records of several workflows are cut into ranges in which nothing can get out of order."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.planning.ordering import TouchedLines, cut_points

KEYS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=2, unique=True)
WORKFLOW = st.dictionaries(st.integers(1, 12), KEYS).map(lambda found: sorted(found.items()))


def _planned(workflows: list[list[TouchedLines]]) -> list[tuple[int, int, set[Hashable]]]:
    """The order in which stretches, workflow by workflow, bring records into the queue."""
    order = []
    begin = 0
    for end in cut_points(workflows):
        for number, touched in enumerate(workflows):
            for index, keys in touched:
                if begin < index and (end is None or index <= end):
                    order.append((index, number, set(keys)))
        begin = begin if end is None else end
    return order


@given(st.lists(WORKFLOW, min_size=1, max_size=3))
def test_records_of_one_profile_keep_their_order_and_none_is_lost(
    workflows: list[list[TouchedLines]],
) -> None:
    order = _planned(workflows)
    assert sorted((index, number) for index, number, _ in order) == sorted(
        (index, number) for number, touched in enumerate(workflows) for index, _ in touched
    )
    for at, (index, _, keys) in enumerate(order):
        for later, _, others in order[at + 1 :]:
            assert later >= index or not keys & others


@given(st.lists(WORKFLOW, min_size=1, max_size=3))
def test_stretches_are_cut_only_where_they_have_to_be(workflows: list[list[TouchedLines]]) -> None:
    ends = list(cut_points(workflows))
    assert ends[-1] is None
    assert all(one < other for one, other in pairwise(each for each in ends if each is not None))
    if len(workflows) == 1:
        assert ends == [None]


def test_one_profile_under_one_workflow_is_one_stretch() -> None:
    assert list(cut_points([[(index, ("a",)) for index in range(1, 9)], [(4, ("b",))]])) == [None]


def test_a_profile_that_two_workflows_touch_is_cut_at_each_record() -> None:
    both: list[list[TouchedLines]] = [[(index, ("a",)) for index in (1, 2, 3)]] * 2
    assert list(cut_points(both)) == [1, 2, None]
    assert [
        [index for index, _, _ in run] for _, run in groupby(_planned(both), key=lambda each: each[0])
    ] == [
        [1, 1],
        [2, 2],
        [3, 3],
    ]
