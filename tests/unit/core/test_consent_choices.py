"""What a subscription says of people who have opted out: one of four choices, for new versions of the newest rules."""

from __future__ import annotations

from typing import Any

import pytest

from askel_tui.core.workflows.consent_choices import CHOICES, missing_choices, written_choice
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.upgrade import upgrade_file
from askel_tui.services.workflows import InvalidWorkflow, validate
from tests.support.workflows import applied, happened, of_steps, operations, problems

STEP = "- id: in\n  subscribe: {channels: [email], list: Newsletter%s}\n"
RECORD = happened(agreed="2026-05-02T19:20:00+02:00")


def body(more: str, **data: Any) -> Any:
    record = happened(**({"agreed": "2026-05-02T19:20:00+02:00"} | data))
    [operation] = operations(record, applied(of_steps(STEP % more)))
    return operation.body


@pytest.mark.parametrize(
    ("more", "proof"),
    [
        (", consent_at: data.agreed", "2026-05-02T19:20:00+02:00"),
        (", consent_at: data.missing", None),
        (", proof: record", "2026-11-23T09:14:05Z"),
        (", refuse: true", None),
    ],
)
def test_a_choice_says_what_proves_consent(more: str, proof: str | None) -> None:
    assert body(more) == {"channels": ["email"], "proof": proof}


@pytest.mark.parametrize("more", ["", ", resubscribe: true"])
def test_who_is_subscribed_again_is_not_asked_about(more: str) -> None:
    assert "proof" not in body(more)


def test_the_time_is_sent_only_with_consent_of_the_past() -> None:
    found = body(", historical: true, consent_at: data.agreed")
    assert found["consented_at"] == found["proof"] == "2026-05-02T19:20:00+02:00"
    assert body(", historical: true, proof: record")["consented_at"] == "2026-11-23T09:14:05Z"
    late = applied(of_steps(STEP % ", historical: true, consent_at: data.none"))
    assert problems(RECORD, late) == [("in", "consent_at")]
    bad = applied(of_steps(STEP % ", consent_at: data.agreed"))
    assert problems(happened(agreed="soon"), bad) == [("in", "consent_at")]


def test_new_versions_of_the_newest_rules_choose_and_the_refusal_names_the_four() -> None:
    text = of_steps(STEP % "")
    with pytest.raises(InvalidWorkflow) as refused:
        validate(f"askel: 2\n{text}", "w.yaml")
    [problem] = refused.value.problems
    assert all(f"`{name}: " in problem.message for name in CHOICES)
    assert (problem.step, problem.line) == ("in", 11)
    # What is stored already still loads, and files of the first rules go on; both warn.
    for stored in (text, f"askel: 2\n{text}"):
        loaded, found = load_workflow(stored)
        assert loaded is not None
        assert found == []
        assert [each.field for each in loaded.warnings] == ["subscribe"]
    assert validate(text, "w.yaml")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (", resubscribe: false", "resubscribe"),
        (", refuse: no", "refuse"),
        (", proof: email", "proof"),
        (", proof: [record]", "proof"),
        (", consent_at: 2026-01-01", "consent_at"),
        (", refuse: true, proof: record", "refuse"),
        (", consent_at: data.a, resubscribe: true", "resubscribe"),
        (", consent_at: data.a, consented_at: data.b, historical: true", "consented_at"),
    ],
)
def test_a_choice_that_is_none_is_refused(more: str, field: str) -> None:
    for rules in ("", "askel: 2\n"):
        _, found = load_workflow(f"{rules}{of_steps(STEP % more)}")
        assert field in [each.field for each in found]


BLOCK = """\
- id: first
  subscribe:
    # Whom we ask
    channels: [email]
    list: Newsletter
- id: dated
  subscribe: {channels: [email], historical: true, consented_at: data.agreed}
- id: chosen
  subscribe: {channels: [email], proof: record}
"""


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        ("refuse", "refuse: true"),
        ("record", "proof: record"),
        ("resubscribe", "resubscribe: true"),
        ("data.agreed || data.at", 'consent_at: "data.agreed || data.at"'),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_upgrading_writes_a_choice_where_there_is_none(choice: str, line: str, line_end: str) -> None:
    text = of_steps(BLOCK + STEP % "").replace("\n", line_end)
    found = upgrade_file(text, "w.yaml", written_choice(choice))
    assert found.problems == ()
    loaded, problems = load_workflow(found.after)
    assert problems == []
    assert loaded is not None
    assert missing_choices(loaded, "w.yaml") == []
    assert found.after.count(line) == 2 + (choice == "record")
    assert f"consent_at: data.agreed}}{line_end}" in found.after
    assert f"# Whom we ask{line_end}" in found.after
    assert {each.step for each in found.changes if each.field == "subscribe"} == {"first", "dated", "in"}
    assert not upgrade_file(found.after, "w.yaml").is_needed


def test_upgrading_subscribes_nobody_again_without_a_word() -> None:
    assert "refuse: true, channels" in upgrade_file(of_steps(STEP % ""), "w.yaml").after
