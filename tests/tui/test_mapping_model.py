"""The workflow editor's model: what it writes loads as what it says; undo; the Maple & Ember file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example as once
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.catalog import Catalog, ListEntry, MetricEntry, PropertyEntry
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import FIRST_RULES, NEWEST_RULES, ON_SHARED_PHONE, ClearWhen, Workflow
from askel_tui.core.workflows.upgrade import upgrade_file
from askel_tui.tui.screens.mapping import record_fields as found_in
from askel_tui.tui.screens.mapping import view
from askel_tui.tui.screens.mapping.draft import (
    CLEAR_ORDER,
    Draft,
    DraftHistory,
    StepDraft,
    draft_from_workflow,
    slug,
)
from askel_tui.tui.screens.mapping.draft_yaml import to_yaml
from askel_tui.tui.screens.mapping.view import DraftRow
from tests.support.workbench import example

EXAMPLES = (
    "first-points-welcome.yaml",
    "checkout-completed.yaml",
    "newsletter-consent.yaml",
    "vip-gift.yaml",
)


def loaded(text: str) -> Workflow:
    """The workflow of a text, without the text; fails on problems."""
    workflow, problems = load_workflow(text)
    assert workflow is not None, problems
    return replace(workflow, source="")


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_file_read_and_written_says_the_same(name: str) -> None:
    """Every example, through the model and back."""
    original = loaded(example(name).read_text("utf-8"))
    assert loaded(to_yaml(draft_from_workflow(original))) == original


def maple() -> Draft:
    """The Maple & Ember workflow, built change by change."""
    draft = Draft("first-points-welcome", "maple-ember", ("first_points_earned",), "data.points > `0`")
    draft = draft.with_identifier("email", "data.shopper.email")
    draft = draft.with_identifier("phone_number", "e164(data.shopper.phone, 'GB')")
    draft = draft.with_identifier("external_id", "data.shopper.id")
    draft = draft.with_new_step("track_event", 0, {"metric": "First Points Earned", "value": "data.points"})
    draft = draft.with_new_step("upsert_profile", 0)
    draft = draft.with_new_step("add_to_list", 1, {"list": "Welcome Flow"})
    draft = draft.with_new_step("require_segment", 1, {"segment": "VIP", "member": "false"})
    names = ("tier", "not-vip", "welcome", "points")
    for at, name in enumerate(names):
        draft = draft.with_step(at, lambda step, name=name: StepDraft(name, step.kind, step.fields))  # type: ignore[misc]
    profile = {
        "first_name": "data.shopper.first_name",
        "last_name": "data.shopper.last_name",
        "properties.LoyaltyTier": "title(data.shopper.tier)",
        "properties.LoyaltyPoints": "data.points",
    }
    event = {"Points": "data.points", "Tier": "data.shopper.tier", "Store": "data.store"}
    for name, text in profile.items():
        draft = draft.with_step(0, lambda step, name=name, text=text: step.with_field(name, text))  # type: ignore[misc]
    for name, text in event.items():
        named = f"properties.{name}"
        draft = draft.with_step(3, lambda step, named=named, text=text: step.with_field(named, text))  # type: ignore[misc]
    return draft


def test_maple_and_ember_built_through_the_model_is_the_file() -> None:
    """In effect: the workflows are equal but for their texts."""
    file = upgrade_file(example("first-points-welcome.yaml").read_text("utf-8"), "f").after
    assert loaded(to_yaml(maple())) == loaded(file)


WORDS = st.text(min_size=1, max_size=30).filter(lambda text: text.strip()).map(str.strip)
ODD = st.sampled_from(
    ["yes", "no", "null", "~", "1", "1e3", "0x1F", "2026-11-23", "- a", "a: b", "#x", "{", "&a *b", "!!x"]
)
EXPRESSIONS = st.sampled_from(
    [
        "data.a",
        "title(data.b)",
        "e164(data.p, 'GB')",
        "`5`",
        "'te xt'",
        'data."odd: key"',
        "data.a[?b > `1`] | [0]",
        "data.a || 'x: y # z'",
        "concat(data.a, '\u2028', data.b)",
        "!data.a",
        "@",
        "'null'",
    ]
)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,12}", fullmatch=True)
LITERALS = (WORDS | ODD).filter(lambda text: len(text) < 60)
CHANNELS = st.lists(st.sampled_from(["email", "push"]), min_size=1, unique=True).map(", ".join)


def optional(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A text or none."""
    return st.just("") | texts


def properties(name: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    """Properties with odd names."""
    return st.dictionaries(name.map(lambda each: f"properties.{each}"), EXPRESSIONS, max_size=3)


ATTRIBUTES = st.dictionaries(
    st.sampled_from(["first_name", "title", "location.city", "location.zip"]), EXPRESSIONS
)
FLOWS = st.fixed_dictionaries({"flow": LITERALS, "list": optional(LITERALS), "metric": st.just("")}) | (
    st.fixed_dictionaries({"flow": LITERALS, "list": st.just(""), "metric": optional(LITERALS)})
)


GivenStep = tuple[str, dict[str, str], dict[str, ClearWhen]]


@st.composite
def upserts(draw: st.DrawFn) -> GivenStep:
    """Attributes and properties, some of which clear."""
    fields = {**draw(ATTRIBUTES), **draw(properties(LITERALS))}
    return (
        "upsert_profile",
        fields,
        {name: draw(st.sampled_from(CLEAR_ORDER)) for name in sorted(fields) if draw(st.booleans())},
    )


def steps(kind: str, fields: Any) -> st.SearchStrategy[GivenStep]:
    """A step of a kind with these fields."""
    given_fields = fields if isinstance(fields, st.SearchStrategy) else st.fixed_dictionaries(fields)
    return given_fields.map(lambda given: (kind, given, {}))


EVENTS = st.tuples(
    st.fixed_dictionaries(
        {
            "metric": LITERALS,
            "value": optional(EXPRESSIONS),
            "value_currency": optional(EXPRESSIONS | st.just("'EUR'")),
            "time": optional(EXPRESSIONS),
        }
    ),
    properties(LITERALS),
).map(lambda pair: pair[0] | pair[1])
CHOICES = st.fixed_dictionaries(
    dict.fromkeys(("consent_at", "proof", "resubscribe", "refuse"), st.just(""))
).flatmap(
    lambda none: st.sampled_from(
        [
            none,
            *(none | chosen for chosen in ({"proof": "record"}, {"resubscribe": "true"}, {"refuse": "true"})),
        ]
    )
)
SUBSCRIBED = st.fixed_dictionaries(
    {
        "channels": CHANNELS,
        "list": optional(LITERALS),
        "custom_source": optional(LITERALS),
        "consented_at": EXPRESSIONS,
        "historical": st.sampled_from(["", "true"]),
        "require": st.sampled_from(["", "all", "any"]),
    }
).flatmap(lambda given: CHOICES.map(lambda chosen: given | chosen))
UNSUBSCRIBED = {
    "channels": CHANNELS,
    "list": optional(LITERALS),
    "everywhere": st.sampled_from(["", "true"]),
    "require": st.sampled_from(["", "all", "any"]),
}
GATES = {
    "segment": LITERALS,
    "member": st.sampled_from(["true", "false"]),
    "within": st.sampled_from(["", "5m", "90s", "1h"]),
}
STEPS = (
    upserts()
    | steps("add_to_list", {"list": LITERALS})
    | steps("remove_from_list", {"list": LITERALS})
    | steps("track_event", EVENTS)
    | steps("trigger_flow", FLOWS)
    | steps("subscribe", SUBSCRIBED)
    | steps("unsubscribe", UNSUBSCRIBED)
    | steps("require_segment", GATES)
)


def with_literals(draw: st.DrawFn, step: StepDraft) -> StepDraft:
    """Some of the names of the step are meant as text."""
    named = {"metric", "list", "flow", "segment", "custom_source"}
    literals = [name for name, text in step.fields.items() if name in named and text and draw(st.booleans())]
    return replace(step, literals=frozenset(literals))


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Drafts that say a whole workflow, of all kinds of step."""
    ids = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    made = tuple(with_literals(draw, StepDraft(name, *draw(STEPS))) for name in ids)
    triggers = tuple(draw(st.lists(LITERALS, min_size=1, max_size=3, unique=True)))
    profile = {"email": draw(EXPRESSIONS), "external_id": draw(EXPRESSIONS)}
    dispensable = draw(st.sampled_from([frozenset(), frozenset({"phone_number"})]))
    profile |= dict.fromkeys(dispensable, "data.phone")
    rules = draw(st.sampled_from([FIRST_RULES, NEWEST_RULES]))
    return Draft(
        draw(NAMES),
        draw(NAMES),
        triggers,
        draw(optional(EXPRESSIONS)),
        profile,
        made,
        rules,
        draw(optional(st.sampled_from(ON_SHARED_PHONE))),
        dispensable,
    )


@given(drafts())
@once(
    Draft(
        "w", "c", ("e",), "", {"email": "data.a"}, (StepDraft("s", "add_to_list", {"list": "a\x85b\u2028c"}),)
    )
)
def test_what_is_written_loads_as_what_the_draft_says(draft: Draft) -> None:
    """Draft → YAML → workflow → draft is the same draft, and kept as JSON it is as well."""
    assert draft_from_workflow(loaded(to_yaml(draft))) == draft
    assert Draft.from_dict(draft.as_dict()) == draft


@given(drafts(), st.data())
def test_undo_goes_back_through_every_change(draft: Draft, data: st.DataObject) -> None:
    """All changes undone are the beginning, redone the end."""
    history, states = DraftHistory(draft), [draft]
    for _ in range(data.draw(st.integers(0, 6))):
        now = history.draft
        at = data.draw(st.integers(0, max(0, len(now.steps) - 1)))
        change = data.draw(st.sampled_from(["add", "remove", "move", "set", "same"]))
        changed = {
            "add": now.with_new_step(
                data.draw(st.sampled_from(["track_event", "require_segment", "subscribe"])), at
            ),
            "remove": now.without_step(at) if now.steps else now,
            "move": now.with_step_moved(at, data.draw(st.sampled_from([-1, 1]))) if now.steps else now,
            "set": now.with_identifier("email", data.draw(WORDS)),
            "same": now,
        }[change]
        assert history.change(changed) == (changed != now)
        if changed != states[-1]:
            states.append(changed)
    ids = [step.id for step in history.draft.steps]
    assert len(ids) == len(set(ids))
    for state in reversed(states[:-1]):
        assert history.undo()
        assert history.draft == state
    assert not history.undo()
    for state in states[1:]:
        assert history.redo()
        assert history.draft == state
    assert not history.redo()


@given(st.text())
def test_a_slug_is_a_name_or_nothing(text: str) -> None:
    """Whatever is typed becomes a name that workflows and steps may have."""
    name = slug(text)
    assert name == "" or load_workflow(to_yaml(replace(maple(), name=name)))[0] is not None


CATALOG = Catalog(
    0,
    "acc",
    lists=(ListEntry("L1", "Welcome Flow"), ListEntry("L2", "Twice"), ListEntry("L3", "Twice")),
    metrics=(MetricEntry("M1", "First Points Earned"),),
    properties=(
        PropertyEntry("LoyaltyTier", {"text": 3}, 3, 4, ("Gold", "Ember")),
        PropertyEntry("Age", {"number": 1}),
    ),
)
RECORD = {
    "id": "1",
    "event": "e",
    "time": "2026-11-23T09:00:00Z",
    "data": {
        "points": 5,
        "shopper": {"id": "S-1", "tier": "gold", "email": "a@b.example", "phone": "020 7946 0018"},
        "a b": 1,
    },
}


def test_suggestions_come_from_names_and_samples() -> None:
    """tier → LoyaltyTier, with title() because the account's values are written so; who it is about is guessed."""
    found = found_in.record_fields([RECORD])
    assert 'data."a b"' in [each.path for each in found]
    assert found_in.suggest_mappings(found, CATALOG, Draft()) == [
        ("properties.LoyaltyTier", "title(data.shopper.tier)")
    ]
    written = Draft().with_new_step("upsert_profile", 0, {"properties.LoyaltyTier": "x"})
    assert found_in.suggest_mappings(found, CATALOG, written) == []
    assert found_in.guess_identifiers(found) == {
        "email": "data.shopper.email",
        "phone_number": "e164(data.shopper.phone, 'GB')",
        "external_id": "data.shopper.id",
    }


@pytest.mark.parametrize(
    ("text", "name", "starts"),
    [
        ("title(data.shopper.tier)", "properties.LoyaltyTier", "→ Gold"),
        ("data.points", "properties.LoyaltyTier", "! 5: number, where the account has text"),
        ("data.shopper.tier", "properties.Age", "! gold: text, where the account has number"),
        ("data.shopper.phone", "phone_number", "! 020 7946 0018: not E.164"),
        ("e164(data.shopper.phone, 'GB')", "phone_number", "→ +442079460018"),
        ("data.shopper.tier", "email", "! gold: no e-mail address"),
        ("data.shopper.tier", "value", "! gold: no number"),
        ("data.nothing", "value", "– nothing"),
        ("titel(data.a)", "value", "✗ there is no function"),
        ("data.shopper.tier > `1`", "when", "✗ can't compare"),
        ("data.", "when", "✗ "),
    ],
)
def test_what_an_expression_gives_is_reported(text: str, name: str, starts: str) -> None:
    """The value, or what is wrong with it in that field."""
    cell = view.evaluate_text(text, name, RECORD, CATALOG)
    assert (cell if isinstance(cell, str) else cell[0]).startswith(starts)


@pytest.mark.parametrize(
    ("kind", "named", "message"),
    [
        ("list", "Welcome Flow", "● exists"),
        ("list", "L1", "● exists"),
        ("list", "Twice", "! 2 of that name: use the id"),
        ("list", "Nowhere", "✗ gone"),
        ("metric", "New One", "+ to be created"),
        ("property", "New", "+ to be created"),
    ],
)
def test_every_target_says_what_it_is(kind: str, named: str, message: str) -> None:
    """Exists, will be created, gone."""
    assert view.target_status(kind, named, CATALOG)[0] == message


@given(drafts())
def test_every_problem_has_a_row(draft: Draft) -> None:
    """Whatever is taken from a draft, each problem of it points to a row that is there."""
    broken = replace(
        draft, profile={}, steps=tuple(StepDraft(step.id, step.kind, {}) for step in draft.steps)
    )
    _, problems = load_workflow(to_yaml(broken))
    assert problems
    rows = [row.key for row in view.draft_rows(broken)]
    for problem in problems:
        at = view.row_of_problem(broken, problem)
        assert at is not None
        assert at.key in rows


@given(
    st.one_of(st.none(), st.integers(0, 99)),
    st.one_of(st.none(), st.text(min_size=1).filter(lambda t: "\0" not in t)),
)
def test_a_row_is_known_by_its_key(step: int | None, name: str | None) -> None:
    """There and back."""
    assert DraftRow.from_key(DraftRow(step, name).key) == DraftRow(step, name)


def test_a_diff_says_what_changed() -> None:
    """Lines with their signs; equal texts say so."""
    assert ("-a", "$error") in view.diff_lines("a", "b", "v1", "v2")
    assert ("+b", "$success") in view.diff_lines("a", "b", "v1", "v2")
    assert view.diff_lines("a", "a", "v1", "v2")[0][0] == "They say the same."


def test_completions_replace_the_word_that_is_typed() -> None:
    """Fields and functions, after what stands before them."""
    found = found_in.record_fields([RECORD])
    offered = [each.value for each in found_in.complete_expression("title(data.sho", found)]
    assert "title(data.shopper.tier" in offered
    assert "title(" in [each.value for each in found_in.complete_expression("tit", found)]
