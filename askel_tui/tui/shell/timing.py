"""Waiting times of the console; tests hand in others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Waiting times of the app, in seconds."""

    preload_delay_s: float = 0.7
    """The time from the opened home until the Live screen is made ready in the background."""
    user_files_poll_s: float = 2.0
    """The time between two checks whether one of the user's files was saved."""
    key_hold_s: float = 3.0
    """The time that keys wait for a question; one that comes later gets none of them."""
    key_barrier_s: float = 0.3
    """The time that a key may take on its way through the widgets before the next one follows it."""
