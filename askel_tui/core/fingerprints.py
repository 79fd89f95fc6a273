"""What may be shown of a key: enough to tell two apart, nothing to use."""

from __future__ import annotations

import hashlib


def fingerprint(key: str) -> str:
    """What names a key where it may not be shown: `sha256:` and 12 hex digits."""
    return f"sha256:{hashlib.sha256(key.strip().encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
