"""Bodies of queries and direct writes, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from askel_tui.core.operations import Identity
from askel_tui.store.journal.rows import AuditEntry

_PRINTABLE = "[^\\x00-\\x1f\\x7f]"
_LOCAL, _LABEL = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DATE = (
    "((20(0[1-9]|[1-9][0-9])-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8])))|20(0[48]|[2468][048]|[13579][26])-02-29)"
)
_TIME_OF_DAY = "([01][0-9]|2[0-3]):[0-5][0-9]"

Email = Annotated[
    str,
    StringConstraints(
        min_length=6,
        max_length=100,
        pattern=f"^{_LOCAL}(\\.{_LOCAL})*@({_LABEL}\\.)+[A-Za-z]{{2,24}}$",
    ),
    Field(examples=["ada@mapleandember.example"]),
]
Phone = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$"), Field(examples=["+442079460018"])]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=f"^{_PRINTABLE}+$")]
Time = Annotated[
    str,
    StringConstraints(pattern=f"^{_DATE}T{_TIME_OF_DAY}:[0-5][0-9](\\.[0-9]{{1,6}})?(Z|[+-]{_TIME_OF_DAY})$"),
    Field(examples=["2026-11-23T09:14:05Z"], description="RFC 3339, from the year 2001 on."),
]
Text = Annotated[str, StringConstraints(max_length=5_000)] | None


class _ClosedModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProfileIdentifiers(_ClosedModel):
    """A profile, named by at least one identifier."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"email": "ada@mapleandember.example"}], "minProperties": 1},
    )

    email: Email | SkipJsonSchema[None] = None
    phone_number: Phone | SkipJsonSchema[None] = None
    external_id: Annotated[Name, Field(examples=["S-1"])] | SkipJsonSchema[None] = None

    @model_validator(mode="before")
    @classmethod
    def _require_identifier(cls, given: Any) -> Any:
        if isinstance(given, dict) and (not given or None in given.values()):
            raise ValueError("an email, a phone_number or an external_id is needed, and none of them null")
        return given

    def identity(self) -> Identity:
        """Returns the identifiers for a plan."""
        return Identity(self.email, self.phone_number, self.external_id)


class Location(_ClosedModel):
    """The location of a profile."""

    address1: Text = None
    address2: Text = None
    city: Text = None
    country: Text = None
    region: Text = None
    zip: Text = None
    timezone: Text = None
    ip: Text = None
    latitude: Text | StrictFloat = None
    longitude: Text | StrictFloat = None


class Attributes(_ClosedModel):
    """Standard attributes of a profile; what the connection's revision does not have is refused."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"first_name": "Ada", "location": {"city": "Leeds"}}]}
    )

    first_name: Text = None
    last_name: Text = None
    organization: Text = None
    title: Text = None
    image: Text = None
    locale: Text = None
    location: Location = Location()

    def flatten(self) -> dict[str, Any]:
        """Returns the attributes that were given, by dotted names."""
        given = self.model_dump(exclude_unset=True)
        location = given.pop("location", {})
        return {**given, **{f"location.{name}": value for name, value in location.items()}}


Properties = Annotated[
    dict[Name, Any],
    Field(
        json_schema_extra={"propertyNames": {"minLength": 1, "maxLength": 255, "pattern": f"^{_PRINTABLE}+$"}}
    ),
]


class ProfileWrite(_ClosedModel):
    """What to write to a profile. A null clears: an attribute becomes empty, a property is unset."""

    profile: ProfileIdentifiers
    attributes: Attributes = Attributes()
    properties: Annotated[Properties, Field(examples=[{"LoyaltyTier": "Gold"}])] = {}


class ListMember(_ClosedModel):
    """The profile that is put on a list, or taken off it."""

    profile: ProfileIdentifiers


class FlowFire(_ClosedModel):
    """The profile that a flow is fired for; `list` or `metric` where the flow's trigger can't be read."""

    profile: ProfileIdentifiers
    list: Name | None = None
    metric: Name | None = None


class EventWrite(_ClosedModel):
    """An event of a profile."""

    profile: ProfileIdentifiers
    metric: Annotated[
        str,
        StringConstraints(min_length=1, max_length=127, pattern=f"^{_PRINTABLE}+$"),
        Field(examples=["Gift Used"]),
    ]
    properties: Annotated[Properties, Field(examples=[{"Gift": "Ember mug"}])] = {}
    value: Annotated[float | None, Field(allow_inf_nan=False, strict=True)] = None
    value_currency: Annotated[
        str | None, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["GBP"])
    ] = None
    time: Time | None = None


class Receipt(_ClosedModel):
    """What Klaviyo said about one operation."""

    step: str
    kind: str
    status: Annotated[str, Field(examples=["written"])]
    detail: str | None = None
    target: dict[str, Any] | None = None
    ms: int | None = None
    audit: Annotated[int, Field(description="The audit entry's `position`.")]
    differences: Annotated[
        list[dict[str, Any]],
        Field(
            description="What Klaviyo's answer shows otherwise than it was sent: `field`, `sent`, `answered`."
        ),
    ] = []


class WriteAnswer(_ClosedModel):
    """`complete` says whether every operation has ended; what has not waits, or is held, and is in the audit."""

    record: Annotated[str, Field(description="The record that the write is kept as, in the audit.")]
    complete: bool
    receipts: list[Receipt] = []
    warnings: list[str] = []


class NamedObject(_ClosedModel):
    """Something in the account, by id and name."""

    id: str
    name: str


class MemberAnswer(_ClosedModel):
    """Whether a profile is in a segment; `age_s` is how old the answer is."""

    connection: str
    segment: NamedObject
    profile: dict[str, str]
    member: bool
    age_s: float


class ProfileAnswer(_ClosedModel):
    """A profile as the account has it now."""

    id: str
    attributes: dict[str, Any]
    consent: dict[str, str] | None = None


def _audit_row_schema() -> dict[str, Any]:
    """Makes the JSON schema of an audit entry, with its time as text."""
    schema = TypeAdapter(AuditEntry).json_schema()
    at = {"type": "string", "format": "date-time", "title": "At"}
    schema["properties"] |= {"at": at}
    return {**schema, "description": "One write or decision; `prev` and `hash` chain them."}


AuditRow = Annotated[dict[str, Any], WithJsonSchema(_audit_row_schema())]


class AuditPage(_ClosedModel):
    """Entries in order; `next` is what `after` has to be for those that follow, null at the end."""

    entries: list[AuditRow]
    next: int | None


class WorkflowAnswer(_ClosedModel):
    """The state of a workflow after a command."""

    workflow: str
    state: Literal["active", "paused", "draft"]
    version: int | None = None
    replanned: dict[str, int] = {}
    """How many unsent operations of older versions were planned anew, added, kept, closed or held."""


class Health(_ClosedModel):
    """Whether the daemon works; `why` says what is wrong, `klaviyo` what Klaviyo does not answer."""

    ok: bool
    why: list[str] = []
    klaviyo: str | None = None
