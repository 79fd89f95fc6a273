"""The opt-outs that were sent from here and that the account may not show yet, across restarts."""

from __future__ import annotations

import json

from askel_tui.contract.dialects import CHANNEL_IDENTIFIER
from askel_tui.core.addressing import CONSENT_CALL_OF_STEP
from askel_tui.core.operations import Operation
from askel_tui.core.opt_outs import MAX_OWN_OPT_OUTS, OwnOptOuts
from askel_tui.core.requests.sent_bodies import ConsentJobRows
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import UnconfirmedWrite


async def load_own_opt_outs(journal: Journal, connection: str, since: int, ahead: int) -> OwnOptOuts:
    """Loads the consent that a connection has changed and not read back, since a time in milliseconds since 1970.

    `ahead` is how far Klaviyo's clock is ahead of the machine's.
    """
    own = OwnOptOuts()
    jobs: dict[int, ConsentJobRows] = {}
    writes, _ = await journal.unconfirmed_writes(0, since, MAX_OWN_OPT_OUTS)
    for write in writes:
        if write.kind not in CONSENT_CALL_OF_STEP or write.connection != connection:
            continue
        if write.request not in jobs:
            body = await journal.request_body(write.request)
            jobs[write.request] = ConsentJobRows({} if body is None else json.loads(body))
        sent = jobs[write.request].find_operation(write.kind, write.step, write.profile, write.operation)
        own.note(sent or _on_all_channels(write), write.at + ahead)
    return own


def _on_all_channels(write: UnconfirmedWrite) -> Operation:
    """Makes the operation of a write whose request was pruned: on all channels that the person has."""
    body = {"channels": [*CHANNEL_IDENTIFIER]}
    call = CONSENT_CALL_OF_STEP[write.kind]
    return Operation(write.operation, write.step, write.kind, call, write.profile, write.target, body=body)
