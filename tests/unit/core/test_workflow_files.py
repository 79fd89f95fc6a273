"""Workflow files: good ones become workflows, the others get all their problems at once, each with its line."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.expressions.expression import parse_expression
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import (
    AddToList,
    Field,
    RemoveFromList,
    RequireSegment,
    Subscribe,
    TrackEvent,
    TriggerFlow,
    Unsubscribe,
    UpsertProfile,
    Workflow,
    line_of,
    step_targets,
)
from askel_tui.core.workflows.upgrade import upgrade_file
from tests.support.files import EXAMPLES

HEAD = """\
workflow: w
connection: c
trigger: happened
profile: {email: data.email, phone_number: data.phone}
"""
TEXTS = [path.read_text() for path in sorted(EXAMPLES.glob("**/*.yaml"))]


def load(text: str) -> Workflow:
    workflow, problems = load_workflow(text, "w.yaml")
    assert [str(problem) for problem in problems] == []
    assert workflow is not None
    return workflow


def step(text: str) -> Any:
    """The one step whose lines these are."""
    return load(f"{HEAD}steps:\n  - id: s\n    {text}\n").steps[0]


def problems(text: str) -> list[str]:
    workflow, found = load_workflow(text, "w.yaml")
    assert workflow is None
    assert all(problem.file == "w.yaml" for problem in found)
    return [str(problem) for problem in found]


def step_problems(text: str) -> list[str]:
    """The problems of the one step whose lines these are, without their place."""
    found = problems(f"{HEAD}steps:\n  - id: s\n    {text}\n")
    return [problem.split(": step s, ")[1] for problem in found]


def test_the_first_example_says_what_its_file_says() -> None:
    text = (EXAMPLES / "first-points-welcome.yaml").read_text()
    workflow = load(text)
    assert workflow == Workflow(
        name="first-points-welcome",
        connection="maple-ember",
        triggers=("first_points_earned",),
        when=parse_expression("data.points > `0`"),
        profile={
            "email": parse_expression("data.shopper.email"),
            "phone_number": parse_expression("e164(data.shopper.phone, 'GB')"),
            "external_id": parse_expression("data.shopper.id"),
        },
        steps=(
            UpsertProfile(
                "tier",
                {
                    "first_name": Field(parse_expression("data.shopper.first_name")),
                    "last_name": Field(parse_expression("data.shopper.last_name")),
                },
                {
                    "LoyaltyTier": Field(parse_expression("title(data.shopper.tier)")),
                    "LoyaltyPoints": Field(parse_expression("data.points")),
                },
            ),
            RequireSegment("not-vip", "VIP", member=False),
            AddToList("welcome", "Welcome Flow"),
            TrackEvent(
                "points",
                "First Points Earned",
                value=parse_expression("data.points"),
                properties={
                    "Points": parse_expression("data.points"),
                    "Tier": parse_expression("data.shopper.tier"),
                    "Store": parse_expression("data.store"),
                },
            ),
        ),
        source=text,
    )
    assert line_of(workflow, "when") == 5
    assert line_of(workflow.step("tier"), "properties.LoyaltyTier") == 16
    assert line_of(workflow.step("welcome")) == 20


def test_the_other_examples_load() -> None:
    loaded = {path.stem: load(path.read_text()) for path in EXAMPLES.glob("*.yaml")}
    assert loaded["checkout-completed"].triggers == ("checkout_completed", "order_paid")
    assert loaded["checkout-completed"].steps[1] == RemoveFromList("leave-promo", "Promotions")
    assert loaded["newsletter-consent"].steps == (
        Subscribe("subscribe", ("email",), "Newsletter", "Rewards sign-up page"),
        TriggerFlow("kickoff", "Welcome Series", list="Welcome Flow"),
    )
    gift = loaded["vip-gift"]
    assert gift.steps[1] == UpsertProfile(
        "cleared",
        properties={
            "OpenGift": Field(parse_expression("data.open_gift"), clear="both"),
            "LastGift": Field(parse_expression("data.gift")),
        },
    )
    used = gift.step("used")
    assert isinstance(used, TrackEvent)
    assert used.properties == {
        "Gift": parse_expression("data.gift"),
        "Note": parse_expression("coalesce(data.note, 'none')"),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "bad-expression",
            ["w.yaml:4: profile.email: not an expression, it ends too early: data.shopper.["],
        ),
        (
            "consent-in-attributes",
            [
                (
                    "w.yaml:7: step sneaky, subscriptions: consent is never an attribute of a profile: "
                    "it is its own step, `subscribe` or `unsubscribe`"
                )
            ],
        ),
        (
            "no-identity",
            [
                (
                    "w.yaml:1: profile: is missing: who a record is about, by at least one of "
                    "email, phone_number, external_id"
                )
            ],
        ),
        (
            "twice-the-same-step",
            [
                "w.yaml:7: step a, id: two steps have this id, the first one on line 6",
                "w.yaml:7: step a, add_to_lst: there is no such kind of step. Did you mean 'add_to_list'?",
            ],
        ),
    ],
)
def test_each_refused_example_gets_its_answer(name: str, expected: list[str]) -> None:
    assert problems((EXAMPLES / "refused" / f"{name}.yaml").read_text()) == expected


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        """\
workflow: My Flow
conection: c
trigger: []
when: data.x >
profile:
  phone: data.phone
steps:
  - upsert_profile: {tier: data.tier}
  - id: b
    track_event: {value: 5}
  - id: c
    subscribe: {channels: [email, smss]}
  - id: d
    add_to_list: One
    remove_from_list: [Two]
  - id: e
  - just text
"""
    )
    assert [problem.removeprefix("w.yaml:").split(":")[0] for problem in found] == [
        *("1", "2", "3", "4", "6", "8", "8", "10", "10", "12", "12", "15", "15", "16", "17"),
    ]
    assert "Did you mean 'my-flow'?" in found[0]
    assert "Did you mean 'connection'?" in found[1]
    assert "Did you mean 'phone_number'?" in found[4]
    assert "step 1, id: is missing" in found[5]
    assert "Did you mean 'properties.tier'?" in found[6]
    assert "metric: is missing: the name of the event" in found[7]
    assert "step b, value: 5 is no expression; the value itself is written `5`" in found[8]
    assert "Did you mean 'sms'?" in " ".join(found[9:11])
    assert "consent for email needs email under `profile`" in " ".join(found[9:11])
    assert "does one thing" in found[11]
    assert "takes a name, not a list" in found[12]
    assert "step e: does nothing" in found[13]
    assert "step 6: takes a mapping" in found[14]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("upsert_profile: {}", UpsertProfile("s")),
        (
            "upsert_profile: {location: {city: data.city}, location.zip: data.zip}",
            UpsertProfile(
                "s",
                {
                    "location.city": Field(parse_expression("data.city")),
                    "location.zip": Field(parse_expression("data.zip")),
                },
            ),
        ),
        (
            "upsert_profile: {title: {value: data.t, clear: false}, image: {value: data.i}}",
            UpsertProfile(
                "s", {"title": Field(parse_expression("data.t")), "image": Field(parse_expression("data.i"))}
            ),
        ),
        ("add_to_list: 12345", AddToList("s", "12345")),
        ("remove_from_list: 'No'", RemoveFromList("s", "No")),
        (
            "track_event: {metric: M, value: data.v, value_currency: 'GBP', time: data.at}",
            TrackEvent(
                "s",
                "M",
                parse_expression("data.v"),
                parse_expression("'GBP'"),
                {},
                parse_expression("data.at"),
            ),
        ),
        (
            "track_event: {metric: M, value_currency: data.currency}",
            TrackEvent("s", "M", value_currency=parse_expression("data.currency")),
        ),
        ("trigger_flow: Welcome Series", TriggerFlow("s", "Welcome Series")),
        ("trigger_flow: {flow: F, metric: M}", TriggerFlow("s", "F", metric="M")),
        ("subscribe: {channels: sms}", Subscribe("s", ("sms",))),
        (
            "subscribe: {channels: [email, push], historical: true, consented_at: data.at}",
            Subscribe("s", ("email", "push"), consented_at=parse_expression("data.at"), historical=True),
        ),
        ("unsubscribe: {channels: [whatsapp], list: L}", Unsubscribe("s", ("whatsapp",), "L")),
        ("require_segment: {segment: VIP, member: true}", RequireSegment("s", "VIP", member=True)),
    ],
)
def test_every_kind_of_step(text: str, expected: Any) -> None:
    found = step(text)
    assert found == expected
    assert found.kind == text.split(":")[0]
    assert line_of(found, found.kind) == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("upsert_profile: {email: data.email}", "email: identifies a profile and belongs under `profile`"),
        ("upsert_profile: {first_nam: data.n}", "Did you mean 'first_name'?"),
        ("upsert_profile: {location: {town: data.n}}", "location.town: no standard attribute"),
        ("upsert_profile: {email_consent: data.n}", "consent is never an attribute"),
        (
            "upsert_profile: {properties: [a]}",
            "properties: takes a mapping of names and expressions, not a list",
        ),
        ("upsert_profile: {properties: {A: {value: data.a, clera: true}}}", "takes an expression or {value:"),
        ("upsert_profile: {properties: {A: {clear: true}}}", "takes an expression or {value:"),
        ("upsert_profile: {properties: {A: {value: data.a, clear: maybe}}}", "clear takes null"),
        (
            "upsert_profile: {properties: {A: data.a, A: data.b}}",
            "properties.A: stands here twice, first on line 7",
        ),
        (
            "upsert_profile: {title: data.a, location: {city: data.a}, location.city: data.b}",
            "is written twice",
        ),
        ("upsert_profile: {title: gold}", "title: a record has no field 'gold'"),
        ("upsert_profile: {title: yes}", "yes is no expression; the value itself is written `yes`"),
        ("upsert_profile: {title: 2026-11-23}", "text is written \"'2026-11-23'\""),
        ("upsert_profile: {title: }", "is empty, where an expression is expected"),
        ("upsert_profile: {title: [data.x]}", "takes an expression, not a list"),
        ("upsert_profile: {title: titel(data.x)}", "Did you mean 'title'?"),
        ("add_to_list: {list: L}", "takes a name, not a mapping"),
        ("add_to_list: ''", "is empty"),
        ("track_event: Points", "takes a mapping of metric"),
        ("track_event: {metric: " + "m" * 128 + "}", "metric: the name has 128 characters"),
        ("track_event: {metric: M, propertys: {}}", "Did you mean 'properties'?"),
        ("track_event: {metric: M, value_currency: GBP}", "a currency stands in quotes: 'GBP'"),
        ("trigger_flow: {flow: F, list: L, metric: M}", "one trigger"),
        ("trigger_flow: {list: L}", "flow: is missing"),
        ("subscribe: {channels: []}", "the list is empty"),
        ("subscribe: {channels: [email, email]}", "email stands in the list twice"),
        ("subscribe: {list: L}", "channels: is missing"),
        ("subscribe: {channels: email, historical: true}", "consent of the past needs `consented_at`"),
        ("require_segment: VIP", "{segment: VIP, member: true}"),
        ("require_segment: {segment: VIP}", "member: is missing: true or false"),
        ("require_segment: {segment: VIP, member: maybe}", "takes true or false"),
        ("when: data.x", "belongs to the workflow"),
        ("track_events: {metric: M}", "Did you mean 'track_event'?"),
    ],
)
def test_a_step_that_is_wrong_has_one_problem(text: str, expected: str) -> None:
    found = step_problems(text)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("# only a comment", "the file is empty"),
        ("- a\n- b", "holds a mapping of askel, workflow, connection"),
        ("a: [", "w.yaml:1: not YAML"),
        ("a: b: c", "w.yaml:1: not YAML"),
        ("a: b\n\x07", "w.yaml:2: not YAML: a character"),
        ("a: {b: f(x, 'y}", "not YAML"),
        ("a: &x [1]\nb: *x", "anchors (&) and aliases (*)"),
        ("a: !!python/object/apply:os.system ['true']", "tags are not taken here"),
        ("a: !!str b", "tags are not taken here"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("[" * 5_000, "nested deeper than 20 levels"),
        ("x" * 100_001, "more than 100,000 characters"),
        ('a: "\\UFFFFFFFF"', "not YAML"),
        ("? [a]\n: b", "a key must be a word"),
        ("\ud800", "not YAML"),
        ("%YAML 99999999999999999999.1\n---\na: b", "not YAML"),
    ],
)
def test_text_that_is_no_workflow_file_is_a_problem(text: str, expected: str) -> None:
    assert expected in " ".join(problems(text))


def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24)
    )
    started = time.monotonic()
    assert "anchors" in problems(bomb)[0]
    assert time.monotonic() - started < 5


def test_calls_need_no_quotes_inside_braces() -> None:
    found = step(
        "track_event: {metric: M (new), properties: {A: concat(data.a, ' {b}: #') || 'x', B: data.b}}"
    )
    assert found == TrackEvent(
        "s",
        "M (new)",
        properties={
            "A": parse_expression("concat(data.a, ' {b}: #') || 'x'"),
            "B": parse_expression("data.b"),
        },
    )


@pytest.mark.parametrize("text", ["{metric: M (a, value: data.v}", "{metric: M ('a, value: data.v}"])
def test_a_bracket_that_stays_open_inside_braces_is_part_of_a_name(text: str) -> None:
    found = step(f"track_event: {text}")
    assert found.metric == text.split(",")[0].removeprefix("{metric: ")
    assert found.value == parse_expression("data.v")


def test_the_targets_of_a_step_are_listed() -> None:
    assert step_targets(step("trigger_flow: {flow: F, list: L}")) == [
        ("flow", "flow", "F"),
        ("list", "list", "L"),
    ]
    assert step_targets(step("track_event: {metric: M}")) == [("metric", "metric", "M")]
    assert step_targets(step("unsubscribe: {channels: email}")) == []
    assert step_targets(step("upsert_profile: {title: data.t, properties: {A: data.a}}")) == [
        ("properties.A", "property", "A")
    ]
    assert step_targets(step("require_segment: {segment: V, member: false}")) == [("segment", "segment", "V")]
    assert step_targets(step("add_to_list: L")) == [("add_to_list", "list", "L")]


def test_the_step_of_another_id_is_not_known() -> None:
    with pytest.raises(KeyError):
        load(HEAD + "steps: [{id: s, add_to_list: L}]").step("t")


LINE_ENDS = "\n\r\x85\u2028\u2029"
"""What ends a line in YAML."""


def checked(text: str) -> None:
    workflow, found = load_workflow(text, "w.yaml")
    assert (workflow is None) == bool(found)
    for problem in found:
        assert str(problem).isprintable()
        assert problem.line is None or 1 <= problem.line <= sum(map(text.count, LINE_ENDS)) + 2


@given(st.text())
def test_any_text_is_a_workflow_or_problems(text: str) -> None:
    checked(text)
    checked(HEAD + "steps:\n  - " + text)


@given(st.data())
def test_examples_with_mistakes_are_workflows_or_problems(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        put = data.draw(st.text(alphabet="{}[]():,'\"`&*!|>%@#-? \n\tabz0\x00\u2028é", max_size=4))
        text = text[:at] + put + text[at + cut :]
    checked(text)


# The rules that a file follows.


def test_a_file_says_which_rules_it_follows() -> None:
    text = f"{HEAD}steps:\n  - id: s\n    add_to_list: L\n"
    assert load(text).rules == 1
    assert load(f"askel: 2\n{text}").rules == 2
    assert "askel: takes 2" in problems(f"askel: 3\n{text}")[0]
    assert "askel: takes 2" in problems(f"askel: [2]\n{text}")[0]


def test_consent_as_a_property_is_refused_by_the_newest_rules_and_warned_of_by_the_first() -> None:
    text = f"{HEAD}steps:\n  - id: s\n    upsert_profile: {{properties: {{$consent: data.c, $Consent_at: data.d}}}}\n"
    warned = [(each.step, each.field, each.line) for each in load(text).warnings]
    assert warned == [("s", "properties.$consent", 7), ("s", "properties.$Consent_at", 7)]
    assert isinstance(written := load(text).steps[0], UpsertProfile)
    assert written.properties.keys() == {"$consent", "$Consent_at"}
    assert ["`subscribe`" in each for each in problems(f"askel: 2\n{text}")] == [True, True]


@pytest.mark.parametrize("text", [text for text in TEXTS if load_workflow(text)[0] is not None])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_upgrading_puts_the_marker_first_and_changes_nothing_else(text: str, line_end: str) -> None:
    text = f"# Whose it is\n---\n{text}".replace("\n", line_end)
    found = upgrade_file(text, "w.yaml")
    assert found.problems == ()
    chosen = ["+      refuse: true"] if "subscribe:" in text else []
    assert [line for line in found.diff("w.yaml")[2:] if line[0] in "+-"] == ["+askel: 2", *chosen]
    upgraded = load(found.after)
    was = [
        replace(each, choice="refuse") if isinstance(each, Subscribe) else each for each in load(text).steps
    ]
    assert (upgraded.rules, list(upgraded.steps)) == (2, was)
    assert not upgrade_file(found.after, "w.yaml").is_needed


def test_a_flow_mapping_and_an_indented_file_are_upgraded_too() -> None:
    flow = (
        "{workflow: w, connection: c, trigger: t, profile: {email: data.e}, steps: [{id: s, add_to_list: L}]}"
    )
    assert upgrade_file(flow, "w").after == "{askel: 2, " + flow[1:]
    indented = f"{HEAD}steps: [{{id: s, add_to_list: L}}]\n".replace("\n", "\n  ").join(("  ", ""))[:-2]
    assert upgrade_file(indented, "w").after == f"  askel: 2\n{indented}"
