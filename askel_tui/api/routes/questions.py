"""Answers out: questions to the account, one call to Klaviyo each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request

from askel_tui.api.shared.context import allowed, context_of
from askel_tui.api.shared.errors import ApiError, documented
from askel_tui.api.shared.models import Email, MemberAnswer, Name, Phone, ProfileAnswer
from askel_tui.core.operations import Identity

T = TypeVar("T")

ASK_S = 10.0
"""How long a question may wait for the budget and the answer."""

_REFUSALS = documented(400, 401, 403, 404, 422, 429, 502, 503)

router = APIRouter(tags=["Questions"])


def _who(
    email: Annotated[Email | None, Query()] = None,
    phone: Annotated[Phone | None, Query(description="E.164: + and digits.")] = None,
    external_id: Annotated[Name | None, Query(description="Your own id of the profile.")] = None,
    id: Annotated[Name | None, Query(description="Klaviyo's id of the profile.")] = None,  # noqa: A002
) -> Identity | str:
    """Raises `ApiError` unless exactly one is given."""
    if sum(value is not None for value in (email, phone, external_id, id)) != 1:
        raise ApiError(400, "bad_request", "name the profile by one of email, phone, external_id, id")
    return id if id is not None else Identity(email, phone, external_id)


Whom = Annotated[Identity | str, Depends(_who)]


@router.get(
    "/v1/connections/{name}/segments/{segment}/members",
    response_model=MemberAnswer,
    responses=_REFUSALS,
    summary="Is this profile in the segment?",
)
async def member(
    request: Request,
    name: str,
    segment: str,
    who: Whom,
    fresh: Annotated[bool, Query(description="Ask Klaviyo, whatever is remembered.")] = False,
) -> dict[str, Any]:
    """Asked with one call to Klaviyo and remembered for 15 s; `age_s` says how old the answer is.

    The segment is named by its name or id, the profile by exactly one of the parameters.
    """
    allowed(request, "read", name)
    found = await _asked(context_of(request).questions.member(name, segment, who, fresh=fresh))
    return {
        "connection": name,
        "segment": {"id": found.segment_id, "name": found.segment_name},
        "profile": {"id": who} if isinstance(who, str) else who.identifiers(),
        "member": found.member,
        "age_s": round(found.age_s, 3),
    }


@router.get(
    "/v1/connections/{name}/profiles",
    response_model=ProfileAnswer,
    response_model_exclude_none=True,
    responses=_REFUSALS,
    summary="What does the account hold of this profile?",
)
async def profile(
    request: Request,
    name: str,
    who: Whom,
    consent: Annotated[bool, Query(description="Also consent by channel.")] = False,
) -> dict[str, Any]:
    """Asked now, named by exactly one of the parameters."""
    allowed(request, "read", name)
    found = await _asked(context_of(request).questions.profile(name, who, consent=consent))
    if found is None:
        raise ApiError(404, "not_found", "the account has no such profile")
    return found


async def _asked(question: Awaitable[T]) -> T:
    async with asyncio.timeout(ASK_S):
        return await question
