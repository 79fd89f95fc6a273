"""Klaviyo profile ids that responses showed, by ordering key (see `Identity.keys`), and who has which phone number."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

from askel_tui.core.lines import connection_numbers, key_number
from askel_tui.core.operations import Identity, fold_email, split_encoded
from askel_tui.store.journal.transaction import Transaction

_UPSERT = b'"kind":"upsert_profile"'


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
        save_phone_owners(db, connection, [identity])
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


def known_profile(db: Transaction, connection: str, identity: Identity) -> str | None:
    """Returns the id that is remembered for an identity: the strongest of its deciding keys that is known decides."""
    keys = identity.deciding_keys()
    known = profile_ids(db, connection, keys)
    return next((known[key] for key in keys if key in known), None)


def known_keys(db: Transaction, connection: str, profile_id: str) -> list[str]:
    """Returns the ordering keys that are remembered for a profile id."""
    rows = db.execute(
        "SELECT key FROM profiles WHERE connection = ? AND profile = ?", (connection, profile_id)
    )
    return [key for (key,) in rows]


def are_one_profile(db: Transaction, connection: str, one: Identity, other: Identity) -> bool:
    """Checks whether two identities are of one profile, as they say, as answers showed, or by the phone number that was
    sent with one of them.

    That a record names identifiers together is no reason: it may wait, and be refused.
    """
    if not set(one.deciding_keys()).isdisjoint(other.deciding_keys()):
        return True
    known, others = (known_profile(db, connection, each) for each in (one, other))
    if known is not None and others is not None:
        return known == others
    if not one.is_same_profile(other):
        if known is not None or others is not None:
            return False
        # No answer showed either. The journal may know who has the phone number that one of them consists of.
        ours, theirs = (_owner_or_self(db, connection, each).deciding_keys() for each in (one, other))
        return not set(ours).isdisjoint(theirs)
    shown = known or others
    if shown is None:
        return True
    # They share a phone number alone. What answers showed beside it may name somebody else.
    unknown = (one if known is None else other).deciding_keys()
    kinds = {key.partition(":")[0] for key in unknown if not key.startswith("phone_number:")}
    return not any(
        key.partition(":")[0] in kinds and key not in unknown for key in known_keys(db, connection, shown)
    )


def _owner_or_self(db: Transaction, connection: str, identity: Identity) -> Identity:
    """Returns who has the phone number of an identity that names nothing else, as far as it is known."""
    phone = identity.phone_number
    if phone is None or identity.email is not None or identity.external_id is not None:
        return identity
    return phone_owners(db, connection, [phone]).get(phone, identity)


def related_numbers(db: Transaction, connection: str, identity: Identity) -> set[int]:
    """Returns the numbers (`core.lines`) of the identifiers that may be of an identity's profile, its own included."""
    known = known_profile(db, connection, identity)
    keys = {*identity.keys(), *_owner_or_self(db, connection, identity).keys()}
    keys.update(known_keys(db, connection, known) if known else ())
    emails = [value for kind, _, value in (key.partition(":") for key in keys) if kind == "email"]
    phones = db.execute(
        "SELECT phone FROM phones WHERE connection = ? AND email IN (SELECT value FROM json_each(?))",
        (connection, json.dumps(emails)),
    )
    keys.update(f"phone_number:{phone}" for (phone,) in phones)
    return {*connection_numbers(connection, map(key_number, keys))}


def forget_moved(db: Transaction, connection: str, bodies: Iterable[bytes]) -> None:
    """Forgets the ids of identifiers that written upserts may have moved to another profile, where no answer says so:
    whatever is not remembered for the strongest identifier of each."""
    upserts = [body for body in bodies if _UPSERT in body]
    if not upserts:
        return
    if db.execute("SELECT 1 FROM profiles WHERE connection = ? LIMIT 1", (connection,)).fetchone() is None:
        return  # A backlog's import jobs show no ids: then there is nothing to forget.
    named = [Identity(**json.loads(split_encoded(body).profile)).keys() for body in upserts]
    several = [keys for keys in named if len(keys) > 1]
    if not several:
        return
    rows = db.execute(
        "SELECT key, profile FROM profiles WHERE connection = ? AND key IN (SELECT value FROM json_each(?))",
        (connection, json.dumps([key for keys in several for key in keys])),
    )
    known = dict(rows.fetchall())
    moved = {key for keys in several for key in keys if key in known and known[key] != known.get(keys[0])}
    db.executemany(
        "DELETE FROM profiles WHERE connection = ? AND key = ?", [(connection, key) for key in sorted(moved)]
    )


def forget_profile_id(db: Transaction, connection: str, profile_id: str) -> None:
    """Deletes everything that is remembered of a profile id."""
    db.execute("DELETE FROM profiles WHERE connection = ? AND profile = ?", (connection, profile_id))


def phone_owners(db: Transaction, connection: str, phones: Collection[str]) -> dict[str, Identity]:
    """Returns the owner of each phone number that has been met beside an e-mail or external id."""
    rows = db.execute(
        "SELECT phone, email, external_id FROM json_each(?) AS wanted CROSS JOIN phones "
        "WHERE connection = ? AND phone = wanted.value",
        (json.dumps(list(phones)), connection),
    )
    return {phone: Identity(email, phone, external_id) for phone, email, external_id in rows.fetchall()}


def save_phone_owners(db: Transaction, connection: str, owners: Iterable[Identity]) -> None:
    """Remembers who has a phone number, in place of who had it before, and of the number that they had."""
    given = [
        (connection, each.phone_number, each.email and fold_email(each.email), each.external_id)
        for each in owners
        if each.phone_number is not None
    ]
    db.executemany(
        "DELETE FROM phones WHERE connection = ? AND email = ? AND phone <> ?",
        [(connection, email, phone) for _, phone, email, _ in given if email is not None],
    )
    db.executemany(
        "INSERT INTO phones (connection, phone, email, external_id) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "email = excluded.email, external_id = excluded.external_id",
        given,
    )
