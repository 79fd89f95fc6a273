"""Caps and attribute names against the texts and schemas of the specification."""

from __future__ import annotations

import json

import pytest

from askel_tui.contract.caps import LOCATION, caps, standard_attributes
from askel_tui.contract.endpoints import REVISIONS, published_endpoints
from tests.support.files import needs_openapi_files
from tests.support.schemas import content, operation, published, specification

NOT_ATTRIBUTES = {"email", "phone_number", "external_id", "anonymous_id", "_kx", "properties", "location"}


@pytest.mark.parametrize("revision", REVISIONS)
def test_standard_attributes_are_those_of_the_upsert(revision: str) -> None:
    at = published_endpoints(revision)["create_or_update_profile"]
    described = operation(revision, at.path, at.method)
    assert described is not None
    schemas = specification(revision)["components"]["schemas"]

    def resolved(schema: dict[str, str] | None) -> dict[str, dict[str, dict[str, str]]]:
        assert schema is not None
        found: dict[str, dict[str, dict[str, str]]] = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return found

    upsert = resolved(resolved(content(described["requestBody"]))["properties"]["data"])
    attributes: dict[str, dict[str, str]] = upsert["properties"]["attributes"]["properties"]  # type: ignore[assignment]
    location = resolved(attributes["location"])["properties"]
    assert set(LOCATION) == set(location)
    dotted = {f"location.{name}" for name in location}
    assert standard_attributes(revision) == attributes.keys() - NOT_ATTRIBUTES | dotted


@needs_openapi_files
@pytest.mark.parametrize("revision", REVISIONS)
def test_caps_follow_the_texts_of_the_specification(revision: str) -> None:
    text = json.dumps(published(revision))
    limits = caps(revision)
    assert f"The time must be after the year {limits.event_year_floor - 1}" in text
    assert "up to 1 year in the future" in text
    assert limits.event_days_ahead == 365
    assert f"Must be less than {limits.metric_name + 1} characters" in text
    if revision >= "2025-01-15":
        assert f"The maximum allowed payload size is {limits.profile_bytes // 1000}KB" in text
        assert f"A single string cannot exceed {limits.event_string_bytes // 1000}KB" in text


def test_caps_that_only_prose_states() -> None:
    """docs/klaviyo.md 3.1 and 3.4."""
    old, new = caps("2024-02-15"), caps("2026-07-15")
    assert (old.event_properties, new.event_properties) == (300, 400)
    for limits in (old, new):
        assert (limits.email, limits.array_items, limits.nesting, limits.unique_id) == (100, 4000, 10, 255)
        assert (limits.event_profile_bytes, limits.event_bytes, limits.profile_bytes) == (
            95_000,
            5_000_000,
            100_000,
        )


def test_a_revision_without_caps_is_refused() -> None:
    with pytest.raises(LookupError, match="2023-12-15"):
        caps("2023-12-15")
