"""Who has which phone number: what was written here, what answers showed, and what was read from the account."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from askel_tui.core.operations import Identity, fold_email
from askel_tui.store.journal.transaction import Transaction


def phone_owners(db: Transaction, connection: str, phones: Collection[str]) -> dict[str, Identity]:
    """Returns the owner of each phone number that has been met beside an e-mail or external id."""
    found = {}
    for phone in phones:
        row = db.execute(
            "SELECT email, external_id FROM phones WHERE connection = ? AND phone = ?", (connection, phone)
        ).fetchone()
        if row is not None:
            found[phone] = Identity(row[0], phone, row[1])
    return found


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
