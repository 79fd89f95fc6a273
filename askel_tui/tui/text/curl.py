"""Requests as curl commands in which the key is a variable. Pure."""

from __future__ import annotations

import json
import shlex
from typing import Any

KEY_ENVIRONMENT_VARIABLE = "KLAVIYO_API_KEY"


def curl_command(method: str, path: str, body: Any, revision: str, address: str) -> str:
    """Makes a command that sends the request; `export KLAVIYO_API_KEY=…` provides the key."""
    parts = [
        f"curl --request {method} {shlex.quote(address.rstrip('/') + '/' + path.lstrip('/'))}",
        f'--header "Authorization: Klaviyo-API-Key ${KEY_ENVIRONMENT_VARIABLE}"',
        f"--header {shlex.quote(f'revision: {revision}')}",
        "--header 'accept: application/vnd.api+json'",
    ]
    if body is not None:
        parts.append("--header 'content-type: application/vnd.api+json'")
        text = json.dumps(body, ensure_ascii=True, separators=(",", ":"))
        parts.append(f"--data-binary {shlex.quote(text)}")
    return " \\\n  ".join(parts)
