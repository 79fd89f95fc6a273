"""How a webhook is checked and read: one setting per connection and hook."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SETTING_PREFIX = "webhook:"
"""Settings are called `webhook:CONNECTION/HOOK`."""


def secret_name(connection: str, hook: str) -> str:
    """Under which name the hook's secret is kept; no connection can have it."""
    return f"webhook:{connection}/{hook}"


Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
DataPath = Annotated[
    str, StringConstraints(max_length=255, pattern=r"^data(\.[A-Za-z_][A-Za-z0-9_]{0,63}){1,16}$")
]


class WebhookSettings(BaseModel):
    """The secret itself is in the vault or keyring, never here.

    `scheme` says what is signed and how the header writes it: `hex` and `base64` sign the body (GitHub's
    `X-Hub-Signature-256` is hex with the prefix `sha256=`, Shopify's header is base64), `stripe` signs
    `TIMESTAMP.BODY` and writes `t=…,v1=…`, `standard` is standardwebhooks.com. The last two also bound the age.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Literal["hex", "base64", "stripe", "standard"] = "hex"
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-Signature"
    """Where the signature is; `standard` has headers of its own."""
    prefix: Annotated[str, StringConstraints(max_length=32)] = ""
    """What stands before the signature in the header."""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    tolerance_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    event: Text | None = None
    """The records' event; without it and `event_from` the body must be a record."""
    event_from: DataPath | None = None
    """Where in the body the event is: `data.kind`, as in a workflow."""
    id_from: DataPath | None = None
    """Where the id is; without it, the digest of the body: a body that is sent again is the same record."""
    time_from: DataPath | None = None
    """Where the time is."""
