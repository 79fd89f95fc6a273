"""Settings of webhooks: how each webhook is verified and read. There is one setting for each connection and webhook."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SETTING_PREFIX = "webhook:"
"""A setting is called `webhook:CONNECTION/HOOK`."""


def secret_name(connection: str, hook: str) -> str:
    """Returns the name of a webhook's secret in the vault or keyring; no connection can have this name."""
    return f"webhook:{connection}/{hook}"


Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
DataPath = Annotated[
    str, StringConstraints(max_length=255, pattern=r"^data(\.[A-Za-z_][A-Za-z0-9_]{0,63}){1,16}$")
]


class WebhookSettings(BaseModel):
    """How a webhook is verified and read; its secret is in the vault or keyring, never here.

    `scheme` says what is signed and how the header writes it: `hex` and `base64` sign the body (GitHub's
    `X-Hub-Signature-256` is hex with the prefix `sha256=`, Shopify's header is base64), `stripe` signs
    `TIMESTAMP.BODY` and writes `t=…,v1=…`, `standard` is standardwebhooks.com. The last two also bound the age.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Literal["hex", "base64", "stripe", "standard"] = "hex"
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-Signature"
    """The header of the signature; `standard` has its own headers."""
    prefix: Annotated[str, StringConstraints(max_length=32)] = ""
    """The text before the signature in the header."""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    tolerance_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    event: Text | None = None
    """The records' event; without it and `event_from` the body must be a record."""
    event_from: DataPath | None = None
    """The path of the event in the body, as in a workflow: `data.kind`."""
    id_from: DataPath | None = None
    """The path of the id; without one, the id is the digest of the body: a body sent again is the same record."""
    time_from: DataPath | None = None
    """The path of the time."""
