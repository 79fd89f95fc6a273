"""Tuning of a process that moves backlogs: it has the memory that it needs, and gives the rest back."""

from __future__ import annotations

import gc

_MMAP_THRESHOLD, _MAX_ARENAS = -3, -8
"""Parameters of `mallopt` (glibc)."""

_MIN_LARGE_BYTES = 128 * 1024
"""The size from which on memory is the system's again as soon as it is freed."""


def tune_for_backlogs() -> None:
    """Tunes the interpreter and the C library's memory, before the work begins."""
    # A backlog is many small objects that reference counts free: a search for cycles finds nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    # Bodies have megabytes and come from several threads: by itself, glibc keeps more of what was freed than is used.
    import ctypes

    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(_MMAP_THRESHOLD, _MIN_LARGE_BYTES)
        choose(_MAX_ARENAS, 1)
