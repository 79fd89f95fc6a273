"""A load of everything at once, from the shared examples, and what the account and the audit have to say in the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from askel_tui.store.journal.rows import AuditEntry

WORKFLOWS = ("first-points-welcome", "checkout-completed", "newsletter-consent", "vip-gift")
STEPS: Mapping[str, tuple[str, ...]] = {
    "first_points_earned": ("tier", "not-vip", "welcome", "points"),
    "checkout_completed": ("order", "leave-promo"),
    "newsletter_opted_in": ("subscribe", "kickoff"),
    "gift_used": ("vip-only", "cleared", "used"),
}
"""The steps of a record, by its event; the first of a plan that fails is none of them."""
UPSERTS = ("tier", "cleared")
VIPS = 4
TAKEN = 3
"""Pairs of profiles whose identifiers a record mixes up."""
ENDS = frozenset({"written", "unconfirmed", "failed", "skipped", "passed"})
"""Words of the audit for how an operation ended."""


def _email(who: str) -> str:
    return f"{who}@mapleandember.example"


class MixedLoad:
    """Makes records, and knows what each of them has to do, once. Seeded: the same load every time."""

    def __init__(self, seed: object) -> None:
        self._chance = random.Random(f"load {seed}")
        self.records: list[dict[str, Any]] = []
        self.points: dict[str, list[int]] = {}
        """By e-mail: the points of a shopper's records, in order of arrival."""
        self.orders: list[str] = []
        self.opted_in: list[str] = []
        self.gifts: list[str] = []
        """Gifts of VIPs; those of others stop at the gate."""
        self.failing: set[str] = set()
        """Records that fail, whole or at their first step."""
        self._stopped = 0

    def profiles(self) -> list[dict[str, Any]]:
        """Who is in the account before: VIPs, and profiles whose identifiers some records mix up."""
        vips = [
            {"email": _email(f"vip{n}"), "properties": {"VipSince": "2025-01-01", "OpenGift": "mug"}}
            for n in range(VIPS)
        ]
        taken = [
            {"email": _email(f"taken{n}{side}"), "external_id": f"TAKEN-{n}-{side}"}
            for n in range(TAKEN)
            for side in "ab"
        ]
        return vips + taken

    def backfill(self, many: int) -> list[dict[str, Any]]:
        """First points of new shoppers, and some that fail; all it takes for the bulk lanes."""
        made = [self._points(f"b{len(self.records)}-{n}") for n in range(many)]
        number = len(self.records)
        made.append(self._record("first_points_earned", _shopper("nobody at all", f"X-{number}")))
        pair = self._chance.randrange(TAKEN)
        mixed = _shopper(_email(f"taken{pair}a"), f"TAKEN-{pair}-b")
        made.append(self._record("first_points_earned", mixed))
        self.failing.update(each["id"] for each in made[-2:])
        return made

    def live(self, many: int) -> list[dict[str, Any]]:
        """A few records of every kind, of old and new shoppers."""
        kinds = (self._points, self._order, self._opt_in, self._gift, self._stop)
        return [self._chance.choices(kinds, (6, 3, 2, 1, 1))[0](f"l{len(self.records)}") for _ in range(many)]

    def _points(self, who: str) -> dict[str, Any]:
        known = list(self.points)
        email = _email(who)
        if known and self._chance.random() < 0.3:
            email = self._chance.choice(known)
        points = 1 + len(self.records)
        self.points.setdefault(email, []).append(points)
        return self._record("first_points_earned", _shopper(email, f"ID-{email}", points))

    def _order(self, who: str) -> dict[str, Any]:
        email = self._chance.choice([*self.points, _email(who)])
        order = f"O-{len(self.records)}"
        self.orders.append(order)
        data = {"order_id": order, "total": 12.5, "currency": "GBP", "lines": [{"sku": "MUG-1"}]}
        return self._record("checkout_completed", {**data, "customer": {"email": email}})

    def _opt_in(self, who: str) -> dict[str, Any]:
        self.opted_in.append(_email(f"news-{who}"))
        return self._record("newsletter_opted_in", {"email": self.opted_in[-1]})

    def _gift(self, who: str) -> dict[str, Any]:
        vip = self._chance.random() < 0.7
        gift = f"gift {len(self.records)}"
        if vip:
            self.gifts.append(gift)
        email = _email(f"vip{self._chance.randrange(VIPS)}" if vip else f"plain-{who}")
        return self._record("gift_used", {"email": email, "gift": gift, "open_gift": None})

    def _stop(self, who: str) -> dict[str, Any]:
        """A VIP's first points: the gate stops them."""
        self._stopped += 1
        return self._record(
            "first_points_earned", _shopper(_email(f"vip{self._chance.randrange(VIPS)}"), None)
        )

    def _record(self, event: str, data: Mapping[str, Any]) -> dict[str, Any]:
        made = {"id": f"m-{len(self.records)}", "event": event, "time": "2026-11-23T10:00:00Z", "data": data}
        self.records.append(made)
        return made

    def assert_effects(self, state: Mapping[str, Any]) -> None:
        """Every record has had its effect once, and the newest of a shopper's updates stays."""
        ids = Counter(event["unique_id"] for event in state["events"] if event["unique_id"])
        assert set(ids.values()) == {1}
        assert self._of(state, "First Points Earned", "Points") == sorted(
            points for each in self.points.values() for points in each
        )
        assert self._of(state, "Checkout Completed", "OrderId") == sorted(self.orders)
        assert self._of(state, "Gift Used", "Gift") == sorted(self.gifts)
        profiles = {profile["email"]: profile for profile in state["profiles"] if profile.get("email")}
        for email, points in self.points.items():
            assert profiles[email]["properties"]["LoyaltyPoints"] == points[-1], email
            assert "Welcome Flow" in profiles[email]["lists"]
        for email in self.opted_in:
            assert profiles[email]["consent"]["email.marketing"] == "SUBSCRIBED"
            assert {"Newsletter", "Welcome Flow"} <= set(profiles[email]["lists"])
        assert not any("Promotions" in profiles[email]["lists"] for email in self.points)

    @staticmethod
    def _of(state: Mapping[str, Any], metric: str, name: str) -> list[Any]:
        return sorted(event["properties"][name] for event in state["events"] if event["metric"] == metric)

    def assert_accounted(self, entries: Sequence[AuditEntry]) -> None:
        """Every operation ended once: accepted = written + unconfirmed + failed + what a gate stopped."""
        ends = [entry for entry in entries if entry.operation is not None and not _confirms(entry)]
        twice = [operation for operation, times in Counter(e.operation for e in ends).items() if times > 1]
        assert not twice, twice[:3]
        assert {entry.status for entry in ends} <= ENDS
        seen = Counter((entry.record, entry.step) for entry in ends if not _identifies(entry))
        planned: Counter[tuple[str | None, str | None]] = Counter(self._operations())
        lost, more = planned - seen, seen - planned
        assert not lost, f"{len(lost)} have no end, such as {list(lost)[:3]}"
        assert not more, f"{len(more)} were not planned, such as {list(more)[:3]}"
        refused = {entry.record for entry in entries if entry.status == "failed"}
        assert refused == self.failing

    def _operations(self) -> Iterator[tuple[str, str]]:
        """The (record, step) of every operation that was attempted, or stopped by a gate."""
        for record in self.records:
            steps = STEPS[record["event"]]
            if record["id"] in self.failing:
                steps = () if "nobody" in record["data"]["shopper"]["email"] else steps[:1]
            for step in steps:
                yield record["id"], step


def _shopper(email: str, external_id: str | None, points: int = 7) -> dict[str, Any]:
    shopper = {"email": email, "id": external_id, "first_name": "Ada", "tier": "gold"}
    return {"points": points, "store": "Leeds", "shopper": shopper}


def _confirms(entry: AuditEntry) -> bool:
    """Whether an entry only says what was read back of an earlier one."""
    return "entry" in (entry.response or {})


def _identifies(entry: AuditEntry) -> bool:
    """Whether it is the upsert of bare identifiers that a step needs which takes profile ids only."""
    return entry.kind == "upsert_profile" and entry.step not in UPSERTS
