"""Release of memory that only loading needed."""

from __future__ import annotations


def release_freed_memory() -> None:
    """Gives freed memory back to the system, where its C library can (glibc)."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
