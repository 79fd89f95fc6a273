"""Checks of `askel doctor` about the HTTP API: its address, its readiness, tokens and webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import TYPE_CHECKING

from askel_tui.text.numbers import pluralize
from askel_tui.text.shortening import join_first

if TYPE_CHECKING:
    from askel_tui.store.state.tokens import TokenDoc
    from askel_tui.sync.instance import Instance


def check_api(instance: Instance) -> tuple[bool, str]:
    """Checks whether the HTTP API is in order, and describes it in a sentence. Blocks while it waits for `/readyz`."""
    from askel_tui.api.server.listen_address import read_listen_address
    from askel_tui.store.locks import owner_pid

    found = read_listen_address(instance.home)
    if found is None:
        running = "the daemon runs without one" if owner_pid(instance.home) is not None else "not open"
        return True, f"{running} (`askel daemon --listen 127.0.0.1:8765` opens it)"
    reach = (
        "for other machines too (--public), in plain HTTP: a proxy with TLS belongs before it"
        if found.public
        else "for this machine only"
    )
    try:
        reasons = found.not_ready_reasons()
    except OSError as error:
        return False, f"{found.url} does not answer: {str(error).lower()}"
    if reasons:
        return False, f"{found.url} takes no records: {'; '.join(reasons)}"
    return True, f"listens on {found.url}, {reach}; ready"


def check_tokens(instance: Instance) -> tuple[bool, str]:
    """Counts the tokens, and names those that need attention. Always in order: a useless token is no fault."""
    from askel_tui.store.state.tokens import Tokens

    kept = Tokens(instance.home)
    try:
        known = {doc.name for doc in instance.state.connections()}
        return True, _describe_tokens(kept.all(), instance.clock(), known)
    finally:
        kept.close()


def _describe_tokens(found: Sequence[TokenDoc], now: int, known: Set[str]) -> str:
    expired = [each for each in found if each.is_expired(now)]
    endless = [each for each in found if each.expires is None]
    lost = [each for each in found if each.connections and not known & set(each.connections)]
    parts = [
        pluralize(len(found), "token"),
        *_name_tokens("without an expiry", endless),
        *_name_tokens("expired", expired),
        *_name_tokens("of no connection that exists", lost),
    ]
    return ", ".join(parts)


def _name_tokens(what: str, found: Iterable[TokenDoc]) -> list[str]:
    names = [each.name for each in found]
    return [f"{len(names)} {what} ({join_first(names)})"] if names else []


def check_webhooks(instance: Instance) -> tuple[bool, str]:
    """Checks whether each webhook has readable settings and a stored secret. Blocks."""
    from askel_tui.api.shared.webhook_settings import SETTING_PREFIX, WebhookSettings, secret_name

    names = [
        name.removeprefix(SETTING_PREFIX)
        for name in instance.state.settings()
        if name.startswith(SETTING_PREFIX)
    ]
    wrong: list[str] = []
    for name in names:
        connection, _, hook = name.partition("/")
        try:
            WebhookSettings.model_validate(instance.state.settings()[SETTING_PREFIX + name])
        except ValueError:
            wrong.append(f"the settings of {name} can't be read")
            continue
        if instance.secrets().get(secret_name(connection, hook)) is None:
            wrong.append(f"{name} has no secret")
    if wrong:
        return False, f"{'; '.join(wrong)}: PUT /v1/connections/NAME/webhooks/HOOK sets one up anew"
    return True, pluralize(len(names), "webhook")


def systemd_unit(pid: int) -> str | None:
    """Finds the systemd unit of a process; None where there is none, or the kernel does not say."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as groups:
            names = [part for line in groups for part in line.strip().split("/")]
    except OSError:
        return None
    return next((name for name in reversed(names) if name.endswith(".service")), None)
