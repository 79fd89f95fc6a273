"""The state that a new sandbox starts with: the account of Maple & Ember, or an empty one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from askel_tui.sandbox.state import consent, membership, profiles
from askel_tui.sandbox.state.account import Account
from askel_tui.sandbox.state.model import Flow, Metric, ProfileList, Segment, Template
from askel_tui.sandbox.state.world import World

if TYPE_CHECKING:
    from askel_tui.sandbox.state.model import Profile

SEEDS: Final = ("maple-ember", "empty")
FULL_KEY: Final = "pk_sandbox_maple_ember_full"
"""The key of Maple & Ember with all scopes."""
EMPTY_KEY: Final = "pk_sandbox_empty_full"
"""The key of the empty account with all scopes."""

_LISTS: Final = {
    "MeWelc": "Welcome Flow",
    "MeNews": "Newsletter",
    "MePrmo": "Promotions",
    "MeKiln": "Kiln Club",
    "MeGift": "Gift Guide",
    "MeWhol": "Wholesale",
    "MeWksh": "Workshop Waitlist",
    "MeGlaz": "Glaze Testers",
    "MeBack": "Back in Stock",
    "MePdnA": "Portland Store",
    "MeLeed": "Leeds Store",
    "MeSeco": "Seconds Sale",
    "MeSmsC": "SMS Club",
    "MeArch": "Archive 2025",
}
_SEGMENTS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "MeVip1": ("VIP", "VipSince", {"type": "existence", "operator": "is-set"}),
    "MeGold": ("Gold Tier", "LoyaltyTier", {"type": "string", "operator": "equals", "value": "Gold"}),
    "MeEmbr": ("Ember Tier", "LoyaltyTier", {"type": "string", "operator": "equals", "value": "Ember"}),
    "MeTier": ("In the Loyalty Programme", "LoyaltyTier", {"type": "existence", "operator": "is-set"}),
}
_TEMPLATES: Final = (
    "Welcome 1: Hello",
    "Welcome 2: How We Fire",
    "Welcome 3: Your First Points",
    "Points Reminder",
    "Tier Reached",
    "Gift Unlocked",
    "Order Thanks",
    "Review Request",
    "Win-back",
    "Seconds Sale",
    "Workshop Invitation",
    "Newsletter Base",
    "Birthday",
)
_PROFILES: Final[tuple[tuple[str, str, str, str, dict[str, Any]], ...]] = (
    (
        "vip@example.com",
        "Vivian",
        "Price",
        "ME-0001",
        {"VipSince": "2025-05-01", "LoyaltyTier": "Gold", "OpenGift": "Ember mug"},
    ),
    ("wren@mapleandember.example", "Wren", "Calloway", "ME-0002", {"LoyaltyTier": "Ember"}),
    ("sol@mapleandember.example", "Sol", "Okafor", "ME-0003", {"LoyaltyTier": "Gold"}),
    ("ines@mapleandember.example", "Inês", "Duarte", "ME-0004", {"LoyaltyTier": "Silver"}),
    ("tomas@mapleandember.example", "Tomáš", "Novák", "ME-0005", {"LoyaltyTier": "Bronze"}),
    ("aoife@mapleandember.example", "Aoife", "Byrne", "ME-0006", {"LoyaltyTier": "Ember"}),
    ("haruki@mapleandember.example", "Haruki", "Sato", "ME-0007", {"LoyaltyTier": "Gold"}),
    ("maud@mapleandember.example", "Maud", "Lindqvist", "ME-0008", {"LoyaltyTier": "Bronze"}),
    ("priya@mapleandember.example", "Priya", "Raman", "ME-0009", {"LoyaltyTier": "Silver"}),
    ("ewan@mapleandember.example", "Ewan", "Fraser", "ME-0010", {"FavouriteGlaze": "celadon"}),
    ("lea@mapleandember.example", "Léa", "Moreau", "ME-0011", {"FavouriteGlaze": "tenmoku"}),
    ("noor@mapleandember.example", "Noor", "Haddad", "ME-0012", {}),
)
_SECONDS_PER_DAY: Final = 86_400.0


def build_world(seed: str) -> World:
    """Builds a new world: `maple-ember`, or `empty` (an account with nothing in it)."""
    world = World()
    if seed == "empty":
        world.add_account(Account("EmptyA", "Empty Account"))
        world.add_key(EMPTY_KEY, "EmptyA")
    else:
        world.add_account(maple_ember())
        world.add_key(FULL_KEY, "MpEmbr")
    return world


def maple_ember(now: float | None = None) -> Account:
    """Builds the account of Maple & Ember. `now` is in seconds since 1970."""
    now = time.time() if now is None else now
    account = Account("MpEmbr", "Maple & Ember", sender="hello@mapleandember.example")
    account.integration["id"] = "MeApi1"
    start = now - 400 * _SECONDS_PER_DAY
    for number, (ident, name) in enumerate(_LISTS.items()):
        account.lists[ident] = ProfileList(
            ident, name, start + number * _SECONDS_PER_DAY, start + number * _SECONDS_PER_DAY
        )
    account.lists["MeSmsC"].opt_in_process = "double_opt_in"
    for ident, (name, key, test) in _SEGMENTS.items():
        condition = {"type": "profile-property", "property": f"properties['{key}']", "filter": test}
        definition = {"condition_groups": [{"conditions": [condition]}]}
        account.segments[ident] = Segment(ident, name, start, start, definition)
    for number, name in enumerate(_TEMPLATES):
        ident = f"MeT{number:03d}"
        html = f"<html><body><h1>{name}</h1></body></html>"
        account.templates[ident] = Template(ident, name, start, start + number * _SECONDS_PER_DAY, html=html)
    _add_metrics(account, start)
    _add_flows(account, start)
    for number, (email, first, last, external, properties) in enumerate(_PROFILES):
        _add_profile(account, start + number * _SECONDS_PER_DAY, email, first, last, external, properties)
    return account


def _add_metrics(account: Account, at: float) -> None:
    shop = {
        "object": "integration",
        "id": "MeShop",
        "key": "shopify",
        "name": "Shopify",
        "category": "eCommerce",
    }
    own = {
        "object": "integration",
        "id": "MeKlav",
        "key": "klaviyo",
        "name": "Klaviyo",
        "category": "Internal",
    }
    for ident, name, integration in (
        ("MeMFst", "First Points Earned", account.integration),
        ("MeMTir", "Tier Reached", account.integration),
        ("MeMOrd", "Placed Order", shop),
        ("MeMOpn", "Opened Email", own),
        ("MeMRec", "Received Email", own),
    ):
        account.add_metric(Metric(ident, name, at, at, dict(integration)))
    account.metrics["MeMFst"].properties = {"Points": "numeric", "Tier": "string"}


def _add_flows(account: Account, at: float) -> None:
    by_metric = {"type": "metric", "id": "MeMFst", "trigger_filter": None}
    for flow in (
        Flow("MeFWel", "Welcome Series", at, at, "live", trigger={"type": "list", "id": "MeWelc"}),
        Flow("MeFPts", "First Points Thanks", at, at, "live", trigger=by_metric),
        Flow("MeFVip", "VIP Gift", at, at, "manual", trigger={"type": "segment", "id": "MeVip1"}),
        Flow("MeFBck", "Win-back", at, at, "draft", trigger={"type": "list", "id": "MeArch"}),
        Flow("MeFOld", "Spring 2025", at, at, "draft", archived=True),
    ):
        account.flows[flow.id] = flow


def _add_profile(
    account: Account, at: float, email: str, first: str, last: str, external: str, properties: dict[str, Any]
) -> Profile:
    attributes = {
        "email": email,
        "first_name": first,
        "last_name": last,
        "external_id": external,
        "properties": properties,
    }
    profile = profiles.create_profile(account, attributes, at)
    membership.add_member(account, account.lists["MeNews"], profile, at, fires=False)
    if external <= "ME-0004":
        membership.add_member(account, account.lists["MePrmo"], profile, at, fires=False)
    row = {"attributes": {"email": email}}
    what = {"rows": [row], "group": "MeNews", "source": "Checkout", "historical": True}
    consent.run_consent_job(account, at, action="subscribe", **what)  # type: ignore[arg-type]
    return profile
