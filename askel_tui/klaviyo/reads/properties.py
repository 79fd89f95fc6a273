"""Samples profiles for their custom properties, which Klaviyo lists nowhere (docs/klaviyo.md 3.5)."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.core.catalog import PropertyEntry, value_type
from askel_tui.klaviyo.filters import sparse_fields
from askel_tui.text.sanitizing import sanitize_sentence
from askel_tui.text.shortening import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from askel_tui.klaviyo.client import Client

MAX_SAMPLES = 5
MAX_SAMPLE_CHARACTERS = 40


async def sample_properties(client: Client, sample: int = 500) -> list[PropertyEntry]:
    """Samples the custom properties on the `sample` profiles that were updated last, the most frequent first.

    Each entry says on how many of how many profiles it was seen. Raises `KlaviyoError`.
    """
    query = {**sparse_fields("profile", ["properties"]), "sort": "-updated"}
    return summarize_properties(
        [each async for each in client.pages(Call.GET_PROFILES, query=query, limit=sample)]
    )


def summarize_properties(profiles: Iterable[Mapping[str, Any]]) -> list[PropertyEntry]:
    """Summarizes the custom properties of profile resources. Pure."""
    types: dict[str, Counter[str]] = {}
    samples: dict[str, dict[str, None]] = {}
    total = 0
    for profile in profiles:
        total += 1
        attributes = profile.get("attributes")
        properties = attributes.get("properties") if isinstance(attributes, dict) else None
        for name, value in (properties if isinstance(properties, dict) else {}).items():
            types.setdefault(name, Counter())[value_type(value)] += 1
            shown = samples.setdefault(name, {})
            if value is not None and len(shown) < MAX_SAMPLES:
                shown[_shown(value)] = None
    entries = [
        PropertyEntry(name, dict(counted), counted.total(), total, tuple(samples[name]))
        for name, counted in types.items()
    ]
    return sorted(entries, key=lambda entry: (-entry.seen, entry.name))


def _shown(value: object) -> str:
    text = sanitize_sentence(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return shorten(text, MAX_SAMPLE_CHARACTERS)
