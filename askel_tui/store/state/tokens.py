"""Tokens of the HTTP API. Only the digest of a token is stored; the token is shown once."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from tinydb import where

from askel_tui.core.exit_codes import ExitCode
from askel_tui.core.problems import did_you_mean
from askel_tui.store import paths
from askel_tui.store.errors import StoreError
from askel_tui.store.state.tinydb_storage import DocumentStore

Scope = Literal["send", "read", "operate", "admin"]
SCOPES: tuple[Scope, ...] = ("send", "read", "operate", "admin")
"""The scopes of a token: `send` gives records and writes, `read` asks, `operate` pauses, resumes and watches, `admin`
may do everything."""

TOKEN_PREFIX = "askel_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(rf"{TOKEN_PREFIX}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")


class InvalidToken(StoreError, ValueError):
    """A token that can't be created as asked."""

    exit_code = ExitCode.USAGE


class UnknownToken(StoreError, LookupError):
    """A token name that does not exist."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        guess = did_you_mean(name, names)
        hint = f"Did you mean {guess!r}?" if guess else "`askel token list` shows them"
        super().__init__(f"no token is called {name!r}. {hint}")


class TokenDoc(BaseModel):
    """A token as it is stored. `digest` is SHA-256 of 256 random bits, which no list of words can reverse."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """The public part, by which the token is found."""
    name: str
    digest: str = Field(repr=False)
    scopes: tuple[Scope, ...]
    connections: tuple[str, ...] = ()
    """The connections that the token may use; empty is all of them."""
    rate: int | None = None
    """The allowed requests a second; None is no limit."""
    created: int
    """The time of creation, in milliseconds since 1970."""
    expires: int | None = None
    """The time of expiry, in milliseconds since 1970; None is never."""

    def has_scope(self, scope: Scope) -> bool:
        """Checks whether the token has the scope."""
        return scope in self.scopes or "admin" in self.scopes

    def may_use(self, connection: str) -> bool:
        """Checks whether the token may use the connection."""
        return not self.connections or connection in self.connections

    def is_expired(self, now: int) -> bool:
        """Checks whether the token has expired by `now` (milliseconds since 1970)."""
        return self.expires is not None and self.expires <= now


class Tokens:
    """The tokens of a home. Its methods block for milliseconds; safe in several processes."""

    def __init__(self, home: Path) -> None:
        self._documents = DocumentStore(paths.state_file(home))

    def create(
        self,
        name: str,
        scopes: Sequence[Scope],
        *,
        now: int,
        connections: Collection[str] = (),
        expires: int | None = None,
        rate: int | None = None,
    ) -> tuple[TokenDoc, str]:
        """Creates a token; returns it with its text, which is stored nowhere. Raises `InvalidToken`."""
        if not _NAME.fullmatch(name):
            raise InvalidToken(
                f"{name[:80]!r} can't be a token's name: use up to 64 letters, digits, '.', '_' and '-'"
            )
        if not scopes:
            raise InvalidToken(f"a token needs at least one scope: {', '.join(SCOPES)}")
        public, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        token = TokenDoc(
            id=public,
            name=name,
            digest=_digest(secret),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            connections=tuple(sorted(connections)),
            rate=rate,
            created=now,
            expires=expires,
        )
        with self._documents.locked():
            if any(each.name == name for each in self.all()):
                raise InvalidToken(f"a token called {name} exists: revoke it first, or take another name")
            self._documents.table("tokens").insert(token.model_dump(mode="json"))
        return token, f"{TOKEN_PREFIX}{public}_{secret}"

    def all(self) -> list[TokenDoc]:
        """Returns all tokens by name, expired ones too."""
        found = (TokenDoc.model_validate(dict(each)) for each in self._documents.documents("tokens"))
        return sorted(found, key=lambda token: token.name)

    def revoke(self, name: str) -> TokenDoc:
        """Deletes a token: a request that shows it is refused from now on. Raises `UnknownToken`."""
        with self._documents.locked():
            for token in self.all():
                if token.name == name:
                    self._documents.table("tokens").remove(where("id") == token.id)
                    return token
            raise UnknownToken(name, (token.name for token in self.all()))

    def close(self) -> None:
        """Closes open files."""
        self._documents.storage.close()


def split_token(text: str) -> tuple[str, str] | None:
    """Splits a token's text into (id, secret); None where it does not look like a token."""
    match = _TOKEN.fullmatch(text)
    return None if match is None else (match[1], match[2])


def is_valid(token: TokenDoc, secret: str, now: int) -> bool:
    """Checks that the secret is the token's and that it has not expired; takes as long for a wrong one as for the
    right one."""
    same = hmac.compare_digest(_digest(secret), token.digest)
    return same and not token.is_expired(now)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
