"""Questions to the account: membership in a segment, and profiles; one call to Klaviyo each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request

from askel_tui.api.shared.context import authorize, context_of
from askel_tui.api.shared.errors import ApiError, error_responses
from askel_tui.api.shared.models import Email, MemberAnswer, Name, Phone, ProfileAnswer
from askel_tui.core.operations import Identity

T = TypeVar("T")

QUESTION_TIMEOUT_S = 10.0
"""Time that a question may wait for the budget and for Klaviyo's response, in seconds."""

_ERROR_RESPONSES = error_responses(400, 401, 403, 404, 422, 429, 502, 503)

router = APIRouter(tags=["Questions"])


def _profile_from_query(
    email: Annotated[Email | None, Query()] = None,
    phone: Annotated[Phone | None, Query(description="E.164: + and digits.")] = None,
    external_id: Annotated[Name | None, Query(description="Your own id of the profile.")] = None,
    id: Annotated[Name | None, Query(description="Klaviyo's id of the profile.")] = None,  # noqa: A002
) -> Identity | str:
    """Finds the identifiers of the profile that the query names.

    Raises `ApiError` unless exactly one parameter is given.
    """
    if sum(value is not None for value in (email, phone, external_id, id)) != 1:
        raise ApiError(400, "bad_request", "name the profile by one of email, phone, external_id, id")
    return id if id is not None else Identity(email, phone, external_id)


ProfileParam = Annotated[Identity | str, Depends(_profile_from_query)]


@router.get(
    "/v1/connections/{name}/segments/{segment}/members",
    response_model=MemberAnswer,
    responses=_ERROR_RESPONSES,
    summary="Is this profile in the segment?",
)
async def member(
    request: Request,
    name: str,
    segment: str,
    identity: ProfileParam,
    fresh: Annotated[bool, Query(description="Read it from Klaviyo, not from the cache.")] = False,
) -> dict[str, Any]:
    """Reads it with one call to Klaviyo, and caches it for 15 s; `age_s` says how old the answer is.

    The segment is named by its name or id, the profile by exactly one of the parameters.
    """
    authorize(request, "read", name)
    found = await _within_timeout(
        context_of(request).account_queries.segment_membership(name, segment, identity, fresh=fresh)
    )
    return {
        "connection": name,
        "segment": {"id": found.segment_id, "name": found.segment_name},
        "profile": {"id": identity} if isinstance(identity, str) else identity.identifiers(),
        "member": found.is_member,
        "age_s": round(found.age_s, 3),
    }


@router.get(
    "/v1/connections/{name}/profiles",
    response_model=ProfileAnswer,
    response_model_exclude_none=True,
    responses=_ERROR_RESPONSES,
    summary="What does the account hold of this profile?",
)
async def profile(
    request: Request,
    name: str,
    identity: ProfileParam,
    consent: Annotated[bool, Query(description="Also consent by channel.")] = False,
) -> dict[str, Any]:
    """Reads it now. The profile is named by exactly one of the parameters."""
    authorize(request, "read", name)
    found = await _within_timeout(
        context_of(request).account_queries.read_profile(name, identity, consent=consent)
    )
    if found is None:
        raise ApiError(404, "not_found", "the account has no such profile")
    return found


async def _within_timeout(question: Awaitable[T]) -> T:
    async with asyncio.timeout(QUESTION_TIMEOUT_S):
        return await question
