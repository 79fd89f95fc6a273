"""Which calls are not answered: what fails or hangs counts from its start, and one answer ends it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.klaviyo.answers import AnswerWatch, UnansweredCall

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "answer", "fail", "give up"]), st.integers(0, 9_000), st.integers(0, 5)
    ),
    max_size=40,
)


@given(ACTIONS)
def test_a_call_is_silent_since_its_first_attempt_after_the_last_answer(
    actions: list[tuple[str, int, int]],
) -> None:
    now = 0
    watch = AnswerWatch(lambda: now)
    running: list[tuple[int, int]] = []
    last_answer, failed_since = -1, None
    for action, wait, which in actions:
        now += wait
        if action == "begin":
            running.append((watch.begin("A", "call"), now))
        elif running:
            number, began = running.pop(which % len(running))
            watch.end("A", "call", number, answered={"answer": True, "fail": False}.get(action))
            if action == "answer":
                last_answer, failed_since = now, None
            elif action == "fail":
                failed_since = max(began, last_answer) if failed_since is None else failed_since
        starts = [max(began, last_answer) for _, began in running]
        starts += [] if failed_since is None else [failed_since]
        expected = [UnansweredCall("A", "call", min(starts))] if starts and now - min(starts) >= 6_000 else []
        assert list(watch.unanswered(6_000)) == expected


def test_calls_and_accounts_are_watched_one_by_one() -> None:
    now = 0
    watch = AnswerWatch(lambda: now)
    first, second = watch.begin("A", "create_event"), watch.begin("B", "create_event")
    watch.end("B", "create_event", second, answered=True)
    watch.end("A", "create_event", first, answered=False)
    now = 40_000
    assert list(watch.unanswered(6_000)) == [UnansweredCall("A", "create_event", 0)]
