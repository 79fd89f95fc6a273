"""Records of the demonstration: shoppers of Maple & Ember who earn their first points."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

FIRST_NAMES = ("Ada", "Björk", "Chidi", "Dorothea", "Edsger", "Fatou", "Grace", "Hiroshi", "Ngũgĩ", "Łukasz")
LAST_NAMES = ("Lovelace", "O'Neil", "Żak", "Berners-Lee", "Torvalds", "Haddad", "Okafor")
TIERS = ("bronze", "silver", "gold", "ember")
STORES = ("online", "Leeds", "Portland")
VIP_EMAIL = "vip@example.com"
"""The member of the sandbox's VIP segment: the gate keeps the welcome from this shopper."""

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def first_points(first: int, count: int) -> Iterator[dict[str, Any]]:
    """Makes `count` records from number `first` on, always the same ones; number 7 is the VIP's."""
    for number in range(first, first + count):
        email = VIP_EMAIL if number == 7 else f"shopper{number:03}@mapleandember.example"
        shopper: dict[str, Any] = {
            "id": f"D-{number}",
            "email": email,
            "first_name": FIRST_NAMES[number % len(FIRST_NAMES)],
            "last_name": LAST_NAMES[number % len(LAST_NAMES)],
            "tier": TIERS[number % len(TIERS)],
        }
        if number % 3:
            # Ofcom keeps 020 7946 0000 to 0999 for stories like this one.
            shopper["phone"] = f"020 7946 {number:04}"
        yield {
            "id": f"demo-{number:04}",
            "event": "first_points_earned",
            "time": (START + timedelta(seconds=37 * number)).isoformat().replace("+00:00", "Z"),
            "data": {
                "points": 10 + 5 * (number % 20),
                "store": STORES[number % len(STORES)],
                "shopper": shopper,
            },
            "actor": "rewards-service",
        }
