"""Fingerprints of keys: enough to tell two keys apart, and no secret. Pure."""

from __future__ import annotations

import hashlib


def fingerprint(key: str) -> str:
    """Returns the fingerprint of a key, which may be shown: `sha256:` and 12 hex digits."""
    return f"sha256:{hashlib.sha256(key.strip().encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
