"""Reads the steps of a workflow file, with one function for each kind of step. Problems go to the reader. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from yaml.nodes import MappingNode, Node, ScalarNode

from askel_tui.contract.caps import ALL_STANDARD_ATTRIBUTES, Caps
from askel_tui.core.expressions.expression import Expression, text_literal
from askel_tui.core.operations import IDENTIFIERS
from askel_tui.core.problems import did_you_mean
from askel_tui.core.spans import format_span, parse_span
from askel_tui.core.workflows.consent_choices import CHOICES, read_choice
from askel_tui.core.workflows.model import (
    CONSENT_CHANNELS,
    NEWEST_RULES,
    AddToList,
    ClearWhen,
    Field,
    RemoveFromList,
    RequireSegment,
    Subscribe,
    TrackEvent,
    TriggerFlow,
    Unsubscribe,
    UpsertProfile,
)

if TYPE_CHECKING:
    from askel_tui.core.operations import StepKind
    from askel_tui.core.workflows.model import Require, Step
    from askel_tui.core.workflows.node_reader import NodeReader

_CONSENT = re.compile(r"subscriptions?|(\w+_)?(consent|marketing)")
_CONSENT_PROPERTY = re.compile(r"\s*\$consent", re.IGNORECASE)
_NO_CONSENT = "a property gives no consent: that is a step of its own, `subscribe` or `unsubscribe`"
_PROFILE_KEYS = (*IDENTIFIERS, "id", "anonymous_id", "_kx")
_CHANNELS_NEEDED = {"channels": f"a list of {', '.join(CONSENT_CHANNELS)}"}
_CLEAR_WORDS: Mapping[str, ClearWhen | None] = {
    "null": "null",
    "missing": "missing",
    "both": "both",
    "true": "both",
    "false": None,
}
MAX_WITHIN_S = 3_600
"""The longest time for which a gate waits, in seconds."""

_CURRENCY = re.compile(r"[A-Z]{3}")


def read_step(kind: StepKind, step_id: str, node: Node, reader: NodeReader) -> Step | None:
    """Reads a step of a kind; None where something required is missing."""
    match kind:
        case "upsert_profile":
            return _upsert_profile(step_id, node, reader)
        case "add_to_list":
            name = reader.read_name(node, kind)
            return None if name is None else AddToList(step_id, name, lines=reader.lines)
        case "remove_from_list":
            name = reader.read_name(node, kind)
            return None if name is None else RemoveFromList(step_id, name, lines=reader.lines)
        case "track_event":
            return _track_event(step_id, node, reader)
        case "trigger_flow":
            return _trigger_flow(step_id, node, reader)
        case "subscribe":
            return _subscribe(step_id, node, reader)
        case "unsubscribe":
            return _unsubscribe(step_id, node, reader)
        case "require_segment":
            return _require_segment(step_id, node, reader)


def _upsert_profile(step_id: str, node: Node, reader: NodeReader) -> UpsertProfile:
    attributes: dict[str, Field] = {}
    properties: dict[str, Field] = {}
    for entry in reader.read_entries(node, None, "a mapping of attributes and `properties`"):
        if entry.name == "properties":
            for each in reader.read_entries(entry.value, "properties", "a mapping of names and expressions"):
                written = _field(each.value, f"properties.{each.name}", reader)
                if not each.name.strip():
                    reader.add_problem(each.key, "a property needs a name", "properties")
                elif written is not None:
                    properties[each.name] = written
                if _CONSENT_PROPERTY.match(each.name):
                    reader.add_new_problem(each.key, _NO_CONSENT, f"properties.{each.name}")
        elif entry.name == "location":
            for each in reader.read_entries(entry.value, "location", "a mapping of the parts of an address"):
                _attribute(f"location.{each.name}", each.key, each.value, attributes, reader)
        else:
            _attribute(entry.name, entry.key, entry.value, attributes, reader)
    return UpsertProfile(step_id, attributes, properties, lines=reader.lines)


def _attribute(name: str, key: Node, value: Node, attributes: dict[str, Field], reader: NodeReader) -> None:
    if name in ALL_STANDARD_ATTRIBUTES:
        written = _field(value, name, reader)
        if name in attributes:
            reader.add_problem(key, "is written twice", name)
        elif written is not None:
            attributes[name] = written
    elif _CONSENT.fullmatch(name.lower()):
        message = (
            "consent is never an attribute of a profile: it is its own step, `subscribe` or `unsubscribe`"
        )
        reader.add_problem(key, message, name)
    elif name in _PROFILE_KEYS:
        belongs = ", ".join(IDENTIFIERS)
        reader.add_problem(key, f"identifies a profile and belongs under `profile` ({belongs})", name)
    else:
        like = did_you_mean(name, ALL_STANDARD_ATTRIBUTES)
        reader.add_problem(
            key,
            "no standard attribute of a profile; what is your own stands under `properties`",
            name,
            like or (f"properties.{name}" if "." not in name else None),
        )


def _field(node: Node, name: str, reader: NodeReader) -> Field | None:
    """Reads a field: `EXPR` or `{value: EXPR, clear: null}`."""
    if not isinstance(node, MappingNode):
        expression = reader.read_expression(node, name)
        return None if expression is None else Field(expression)
    inner = {entry.name: entry.value for entry in reader.read_entries(node, name, "")}
    strange = [key for key in inner if key not in ("value", "clear")]
    if strange or "value" not in inner:
        reader.add_problem(node, "takes an expression or {value: EXPRESSION, clear: null}", name)
        return None
    expression = reader.read_expression(inner["value"], name)
    clear = _clear(inner.get("clear"), name, reader)
    return None if expression is None else Field(expression, clear)


def _clear(node: Node | None, name: str, reader: NodeReader) -> ClearWhen | None:
    """Reads when a field clears: `null`, `missing` or `both`; `true` is both."""
    if node is None:
        return None
    word = node.value.lower() if isinstance(node, ScalarNode) else ""
    if word not in _CLEAR_WORDS:
        like = did_you_mean(word, ("null", "missing", "both"))
        reader.add_problem(
            node,
            "clear takes null (the record says null), missing (it has no such field) or both",
            name,
            like,
        )
        return None
    return _CLEAR_WORDS[word]


def _track_event(step_id: str, node: Node, reader: NodeReader) -> TrackEvent | None:
    known = ("metric", "value", "value_currency", "properties", "time")
    given = reader.read_fields(node, "track_event", known, {"metric": "the name of the event"})
    metric = _metric(given.get("metric"), reader)
    value = reader.read_expression(given.get("value"), "value")
    currency = _currency(given.get("value_currency"), reader)
    properties: dict[str, Expression] = {}
    for entry in reader.read_entries(
        given.get("properties"), "properties", "a mapping of names and expressions"
    ):
        expression = reader.read_expression(entry.value, f"properties.{entry.name}")
        if expression is not None:
            properties[entry.name] = expression
    time = reader.read_expression(given.get("time"), "time")
    if metric is None:
        return None
    return TrackEvent(step_id, metric, value, currency, properties, time, lines=reader.lines)


def _metric(node: Node | None, reader: NodeReader) -> str | None:
    name = reader.read_name(node, "metric")
    most = Caps().metric_name
    if node is not None and name is not None and len(name) > most:
        reader.add_problem(node, f"the name has {len(name)} characters, where Klaviyo takes {most}", "metric")
    return name


def _currency(node: Node | None, reader: NodeReader) -> Expression | None:
    """Reads a currency: three capital letters in quotes are the currency itself; anything else is an expression."""
    if isinstance(node, ScalarNode) and _CURRENCY.fullmatch(node.value):
        if node.style in ("'", '"'):
            return text_literal(node.value)
        reader.add_problem(node, f"a currency stands in quotes: '{node.value}'", "value_currency")
        return None
    return reader.read_expression(node, "value_currency")


def _trigger_flow(step_id: str, node: Node, reader: NodeReader) -> TriggerFlow | None:
    if not isinstance(node, MappingNode):
        flow = reader.read_word(node, "trigger_flow")
        if "trigger_flow" in reader.lines:
            reader.lines["flow"] = reader.lines["trigger_flow"]
        return None if flow is None else TriggerFlow(step_id, flow, lines=reader.lines)
    given = reader.read_fields(node, "trigger_flow", ("flow", "list", "metric"), {"flow": "its name or id"})
    flow = reader.read_name(given.get("flow"), "flow")
    listed = reader.read_name(given.get("list"), "list")
    metric = _metric(given.get("metric"), reader)
    if "list" in given and "metric" in given:
        reader.add_problem(
            given["metric"], "a flow has one trigger: name its list or its metric, not both", "metric"
        )
    return None if flow is None else TriggerFlow(step_id, flow, listed, metric, lines=reader.lines)


def _subscribe(step_id: str, node: Node, reader: NodeReader) -> Subscribe:
    known = ("channels", "list", "custom_source", "consented_at", "historical", "require", *CHOICES)
    given = reader.read_fields(node, "subscribe", known, _CHANNELS_NEEDED)
    historical = bool(reader.read_flag(given.get("historical"), "historical"))
    if historical and given.keys().isdisjoint(("consented_at", "consent_at", "proof")):
        message = "consent of the past needs `consented_at` or `consent_at`"
        reader.add_problem(given["historical"], message, "historical")
    if "consented_at" in given and "consent_at" in given:
        message = "says what `consent_at` says; that is also sent where the revision takes it"
        reader.add_problem(given["consented_at"], message, "consented_at")
    channels = _channels(given.get("channels"), reader)
    return Subscribe(
        step_id,
        channels,
        reader.read_name(given.get("list"), "list"),
        reader.read_name(given.get("custom_source"), "custom_source"),
        reader.read_expression(given.get("consented_at"), "consented_at"),
        historical,
        _require(given, channels, reader),
        read_choice(given, node, reader),
        reader.read_expression(given.get("consent_at"), "consent_at"),
        lines=reader.lines,
    )


def _unsubscribe(step_id: str, node: Node, reader: NodeReader) -> Unsubscribe:
    known = ("channels", "list", "everywhere", "require")
    given = reader.read_fields(node, "unsubscribe", known, _CHANNELS_NEEDED)
    channels = _channels(given.get("channels"), reader)
    return Unsubscribe(
        step_id,
        channels,
        reader.read_name(given.get("list"), "list"),
        bool(reader.read_flag(given.get("everywhere"), "everywhere")),
        _require(given, channels, reader),
        lines=reader.lines,
    )


def _require(given: Mapping[str, Node], channels: Sequence[str], reader: NodeReader) -> Require | None:
    """Reads what becomes of channels whose identifiers a record lacks."""
    node = given.get("require")
    word = reader.read_word(node, "require")
    if word in ("all", "any"):
        return "all" if word == "all" else "any"
    if node is not None and word is not None:
        message = (
            "takes all (a record needs the identifiers of all channels) or any (the others are left out)"
        )
        reader.add_problem(node, message, "require", did_you_mean(word, ("all", "any")))
    elif "channels" in given and len(channels) > 1 and reader.rules < NEWEST_RULES:
        message = (
            "a record fails where it lacks the identifier of one channel; by the newest rules that channel is left "
            "out, unless the step says `require: all`"
        )
        reader.add_warning(given["channels"], message, "channels")
    return None


def _channels(node: Node | None, reader: NodeReader) -> tuple[str, ...]:
    channels = reader.read_words(node, "channels")
    for channel in channels:
        if node is not None and channel not in CONSENT_CHANNELS:
            message = f"no channel is named {channel}; there are {', '.join(CONSENT_CHANNELS)}"
            reader.add_problem(node, message, "channels", did_you_mean(channel, CONSENT_CHANNELS))
    return channels


def _require_segment(step_id: str, node: Node, reader: NodeReader) -> RequireSegment | None:
    if isinstance(node, ScalarNode):
        reader.add_problem(
            node,
            f"says whether one must be a member: {{segment: {node.value}, member: true}}",
            "require_segment",
        )
        return None
    required = {"segment": "its name or id", "member": "true or false"}
    given = reader.read_fields(node, "require_segment", ("segment", "member", "within"), required)
    segment = reader.read_name(given.get("segment"), "segment")
    member = reader.read_flag(given.get("member"), "member")
    within = _within(given.get("within"), reader)
    return (
        None
        if segment is None or member is None
        else RequireSegment(step_id, segment, member, within, lines=reader.lines)
    )


def _within(node: Node | None, reader: NodeReader) -> int | None:
    """Reads for how long a gate waits."""
    text = reader.read_word(node, "within")
    if node is None or text is None:
        return None
    seconds = parse_span(text)
    if seconds is None or not 1 <= seconds <= MAX_WITHIN_S:
        longest = format_span(MAX_WITHIN_S)
        reader.add_problem(
            node, f"takes a time up to {longest}, a number and s, m or h, such as 5m", "within"
        )
        return None
    return seconds
