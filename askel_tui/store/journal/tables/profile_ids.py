"""Klaviyo profile ids that responses showed, by ordering key (see `Identity.keys`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from askel_tui.core.operations import Identity
from askel_tui.store.journal.transaction import Transaction


def learn_profile_ids(db: Transaction, connection: str, profiles: Mapping[str, Identity]) -> list[Identity]:
    """Remembers profile ids with their identifiers, in place of what was remembered of either; returns the identities
    that were not known so."""
    new = []
    for profile_id, identity in profiles.items():
        keys = set(identity.keys())
        known = db.execute(
            "SELECT key FROM profiles WHERE connection = ? AND profile = ?", (connection, profile_id)
        ).fetchall()
        if {key for (key,) in known} == keys:
            continue
        new.append(identity)
        forget_profile_id(db, connection, profile_id)
        db.executemany(
            "INSERT OR REPLACE INTO profiles (connection, key, profile) VALUES (?, ?, ?)",
            [(connection, key, profile_id) for key in sorted(keys)],
        )
    return new


def profile_ids(db: Transaction, connection: str, keys: Collection[str]) -> dict[str, str]:
    """Returns the ids that are remembered for the ordering keys `keys`."""
    found = {}
    for key in keys:
        row = db.execute(
            "SELECT profile FROM profiles WHERE connection = ? AND key = ?", (connection, key)
        ).fetchone()
        if row is not None:
            found[key] = row[0]
    return found


def forget_profile_id(db: Transaction, connection: str, profile_id: str) -> None:
    """Deletes everything that is remembered of a profile id."""
    db.execute("DELETE FROM profiles WHERE connection = ? AND profile = ?", (connection, profile_id))
