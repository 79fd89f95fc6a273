"""Bodies and answers of questions and direct writes, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from askel_tui.core.operations import Identity

Email = Annotated[
    str, StringConstraints(min_length=3, max_length=254), Field(examples=["ada@mapleandember.example"])
]
Phone = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$"), Field(examples=["+442079460018"])]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Who(_Closed):
    """Somebody, by at least one identifier."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"email": "ada@mapleandember.example"}],
            "anyOf": [{"required": [name]} for name in ("email", "phone_number", "external_id")],
        },
    )

    email: Email | None = None
    phone_number: Phone | None = None
    external_id: Annotated[Name, Field(examples=["S-1"])] | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Who:
        if self.email is None and self.phone_number is None and self.external_id is None:
            raise ValueError("an email, a phone_number or an external_id is needed")
        return self

    def identity(self) -> Identity:
        """The identifiers for a plan."""
        return Identity(self.email, self.phone_number, self.external_id)


class ProfileWrite(_Closed):
    """What to write about somebody. A null clears: an attribute becomes empty, a property is unset."""

    profile: Who
    attributes: Annotated[
        dict[str, Any], Field(examples=[{"first_name": "Ada", "location": {"city": "Leeds"}}])
    ] = {}
    properties: Annotated[dict[str, Any], Field(examples=[{"LoyaltyTier": "Gold"}])] = {}


class ListMember(_Closed):
    """Who goes on the list, or off it."""

    profile: Who


class FlowFire(_Closed):
    """Whom a flow is fired for; `list` or `metric` where Klaviyo can't tell what triggers the flow."""

    profile: Who
    list: Name | None = None
    metric: Name | None = None


class EventWrite(_Closed):
    """Something that happened to somebody."""

    profile: Who
    metric: Annotated[str, StringConstraints(min_length=1, max_length=127), Field(examples=["Gift Used"])]
    properties: Annotated[dict[str, Any], Field(examples=[{"Gift": "Ember mug"}])] = {}
    value: Annotated[float | None, Field(allow_inf_nan=False)] = None
    value_currency: Annotated[
        str | None, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["GBP"])
    ] = None
    time: Annotated[str | None, Field(examples=["2026-11-23T09:14:05Z"])] = None


class Receipt(_Closed):
    """What Klaviyo said about one operation."""

    step: str
    kind: str
    status: Annotated[str, Field(examples=["written"])]
    detail: str | None = None
    target: dict[str, Any] | None = None
    ms: int | None = None
    audit: Annotated[int, Field(description="The audit entry's number.")]


class WriteAnswer(_Closed):
    """`complete` says whether every operation has ended; what has not waits, or is held, and is in the audit."""

    record: Annotated[str, Field(description="The record that the write is kept as, in the audit.")]
    complete: bool
    receipts: list[Receipt] = []
    warnings: list[str] = []


class Named(_Closed):
    """Something in the account, by id and name."""

    id: str
    name: str


class MemberAnswer(_Closed):
    """Whether a profile is in a segment; `age_s` is how old the answer is."""

    connection: str
    segment: Named
    profile: dict[str, str]
    member: bool
    age_s: float


class ProfileAnswer(_Closed):
    """A profile as the account has it now."""

    id: str
    attributes: dict[str, Any]
    consent: dict[str, str] | None = None


class AuditRow(_Closed):
    """One write or decision."""

    seq: int
    at: str
    actor: str
    connection: str | None
    workflow: str | None
    step: str | None
    record: str | None
    operation: str | None
    kind: str
    profile: dict[str, str] | None
    target: dict[str, Any] | None
    request: dict[str, Any] | None
    status: str
    response: dict[str, Any] | None
    attempts: int
    ms: int | None
    revision: str | None
    key: str | None
    prev: str
    hash: str


class AuditPage(_Closed):
    """Entries in order; `next` is what `after` has to be for those that follow, null at the end."""

    entries: list[AuditRow]
    next: int | None


class WorkflowAnswer(_Closed):
    """The state of a workflow after an order."""

    workflow: str
    state: Literal["active", "paused", "draft"]
    version: int | None = None


class Health(_Closed):
    """Whether the daemon works; `why` says what is wrong."""

    ok: bool
    why: list[str] = []
