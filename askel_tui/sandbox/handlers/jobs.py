"""Handlers of bulk import, subscribe, unsubscribe, suppress and their jobs (docs/klaviyo.md 2.6, 2.8 to 2.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.handlers.context import Context, Reply, known
from askel_tui.sandbox.handlers.resource_builder import reference
from askel_tui.sandbox.jsonapi.errors import Refusal, error_object, invalid, not_found
from askel_tui.sandbox.jsonapi.ids_and_times import parse_time
from askel_tui.sandbox.state import consent, import_jobs
from askel_tui.sandbox.state.model import Job, Profile
from askel_tui.sandbox.state.scheduled import run_due
from askel_tui.sandbox.state.sorted_views import sort_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_UNSUPPORTED_REGION_DETAIL = "Phone number is valid but is not in a supported region for this account."


def _import_profiles(ctx: Context) -> Reply:
    data = ctx.body["data"]
    asked = data.get("relationships", {}).get("lists", {}).get("data", [])
    lists = [one["id"] for one in asked]
    for ident in lists:
        known("list", ctx.account.lists, ident)
    rows = data["attributes"]["profiles"]["data"]
    job = import_jobs.queue_import(
        ctx.account, rows, lists, ctx.now, ctx.settings.job_time, ctx.settings.import_fail
    )
    data = resources.import_job(ctx, job)
    return ctx.reply(data, status=ctx.status)


def _requested_job(ctx: Context, kind: str) -> Job:
    job = ctx.account.jobs.get(ctx.path_id)
    if job is None or job.kind != kind:
        raise not_found("job", ctx.path_id)
    return job


def _get_job(ctx: Context) -> Reply:
    job = _requested_job(ctx, "import")
    included = "lists" in ctx.query.include
    body: dict[str, Any] = {
        "data": resources.import_job(ctx, job, with_lists=included),
        "links": ctx.links(paged=False),
    }
    if included:
        held = (ctx.account.lists.get(ident) for ident in job.lists)
        body["included"] = [resources.profile_list(ctx, one) for one in held if one is not None]
    return Reply(200, body)


def _jobs(kind: str, build: Callable[[Context, Job], dict[str, Any]]) -> Callable[[Context], Reply]:
    def handle(ctx: Context) -> Reply:
        mine = [job for job in ctx.account.jobs.values() if job.kind == kind and _meets_conditions(ctx, job)]
        rows = sort_rows(mine, lambda job: (job.created, job.id))
        page = ctx.page(rows, descending=ctx.query.descending or not ctx.query.sort)
        data = [build(ctx, job) for job in page.rows]
        return Reply(200, {"data": data, "links": ctx.links(page)})

    return handle


def _meets_conditions(ctx: Context, job: Job) -> bool:
    for condition in ctx.query.conditions:
        if condition.field == "status":
            if not condition.is_met_by(job.status):
                return False
        elif condition.value not in (job.lists if condition.field == "list_id" else job.segments):
            return False
    return True


def _lists_of_job(ctx: Context, *, whole: bool) -> Reply:
    job = _requested_job(ctx, "import")
    held = [ctx.account.lists[ident] for ident in job.lists if ident in ctx.account.lists]
    data = [resources.profile_list(ctx, o) if whole else reference("list", o.id) for o in held]
    return ctx.reply(data)


def _profiles_of_job(ctx: Context, *, whole: bool) -> Reply:
    job = _requested_job(ctx, "import")
    page = ctx.page(sort_rows(dict.fromkeys(job.profiles), lambda ident: (ident, ident)))
    data: list[dict[str, Any]]
    if whole:
        profiles = (ctx.account.profile(ident, follow=True) for ident in page.rows)
        data = [resources.profile(ctx, profile) for profile in profiles if profile is not None]
    else:
        data = [reference("profile", ident) for ident in page.rows]
    return Reply(200, {"data": data, "links": ctx.links(page)})


def _errors_of_job(ctx: Context) -> Reply:
    job = _requested_job(ctx, "import")
    numbered = [(number, one) for number, one in enumerate(job.errors)]
    page = ctx.page(sort_rows(numbered, lambda row: (row[0], row[1]["id"])))
    data = [resources.import_error(ctx, one) for _, one in page.rows]
    return Reply(200, {"data": data, "links": ctx.links(page)})


def _consent_job(action: str) -> Callable[[Context], Reply]:
    def handle(ctx: Context) -> Reply:
        data = ctx.body["data"]
        attributes = data["attributes"]
        group = (data.get("relationships") or {}).get("list", {}).get("data", {}).get("id")
        if group:
            known("list", ctx.account.lists, group)
        rows = attributes["profiles"]["data"]
        historical = bool(attributes.get("historical_import"))
        if action == "subscribe":
            _check_consent_times(ctx, rows, historical)
            _check_regions(ctx, rows)
        due = ctx.now + ctx.settings.consent_time
        what = {"action": action, "rows": rows, "group": group, "historical": historical}
        ctx.account.schedule(due, "consent", source=attributes.get("custom_source"), **what)
        run_due(ctx.account, ctx.now)
        return Reply(ctx.status)

    return handle


def _check_consent_times(ctx: Context, rows: list[dict[str, Any]], historical: bool) -> None:
    """Refuses a time of consent without `historical_import`, and with it one that is missing or not past.

    docs/klaviyo.md 6.
    """
    if ctx.revision < "2024-07-15":
        return
    wrong: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        at = f"/data/attributes/profiles/data/{index}/attributes/subscriptions"
        for kind, written in consent.requested_channels(row["attributes"]).items():
            pointer = f"{at}/{kind.replace('.', '/')}/consented_at"
            when = parse_time(written) if written else None
            if not historical and written:
                detail = "'consented_at' is only allowed when 'historical_import' is true."
                wrong.append(error_object(detail, pointer))
            elif historical and not kind.endswith("tracking") and (when is None or when >= ctx.now):
                detail = "'consented_at' must be in the past when 'historical_import' is true."
                wrong.append(error_object(detail, pointer))
    if wrong:
        raise Refusal(400, wrong)


def _check_regions(ctx: Context, rows: list[dict[str, Any]]) -> None:
    if not ctx.settings.sms_regions:
        return
    allowed = tuple(ctx.settings.sms_regions)
    wrong = [
        error_object(
            _UNSUPPORTED_REGION_DETAIL, f"/data/attributes/profiles/data/{index}/attributes/phone_number"
        )
        for index, row in enumerate(rows)
        if any(kind.startswith("sms.") for kind in consent.requested_channels(row["attributes"]))
        and not str(row["attributes"].get("phone_number")).startswith(allowed)
    ]
    if wrong:
        raise Refusal(400, wrong)


def _suppress(*, lift: bool) -> Callable[[Context], Reply]:
    def handle(ctx: Context) -> Reply:
        data = ctx.body["data"]
        rows = data.get("attributes", {}).get("profiles", {}).get("data", [])
        relations = data.get("relationships", {})
        job = Job(ctx.account.ulids.next(ctx.now), "unsuppress" if lift else "suppress", ctx.now, 0)
        job.lists = [relations["list"]["data"]["id"]] if "list" in relations else []
        job.segments = [relations["segment"]["data"]["id"]] if "segment" in relations else []
        if bool(rows) + len(job.lists) + len(job.segments) != 1:
            raise invalid("Exactly one of profiles, list and segment must be given.", "/data")
        profiles = list(_profiles_to_suppress(ctx, job, rows))
        job.completed, job.skipped = consent.change_suppressions(ctx.account, profiles, ctx.now, lift=lift)
        job.total = len(profiles)
        job.status, job.started = "processing", ctx.now
        ctx.account.jobs[job.id] = job
        body = {"data": resources.suppression_job(ctx, job), "links": ctx.links(paged=False)}
        job.status, job.ended = "complete", ctx.now
        return Reply(ctx.status, body if ctx.revision >= "2024-10-15" else None)

    return handle


def _profiles_to_suppress(ctx: Context, job: Job, rows: list[dict[str, Any]]) -> Iterable[Profile]:
    for row in rows:
        profile = ctx.account.find_profile("email", row["attributes"].get("email") or "")
        if profile is not None:
            yield profile
    for ident in job.lists:
        members = known("list", ctx.account.lists, ident).members
        yield from (ctx.account.profiles[member] for member in members)
    for ident in job.segments:
        segment = known("segment", ctx.account.segments, ident)
        yield from (profile for profile, _ in ctx.account.segment_members(segment))


def _suppression_job(kind: str) -> Callable[[Context], Reply]:
    def handle(ctx: Context) -> Reply:
        data = resources.suppression_job(ctx, _requested_job(ctx, kind))
        return ctx.reply(data)

    return handle


HANDLERS: dict[str, Callable[[Context], Reply]] = {
    Call.BULK_IMPORT_PROFILES: _import_profiles,
    Call.GET_BULK_IMPORT_PROFILES_JOBS: lambda ctx: _jobs("import", resources.import_job)(ctx),
    Call.GET_BULK_IMPORT_PROFILES_JOB: _get_job,
    Call.GET_LIST_FOR_BULK_IMPORT_PROFILES_JOB: lambda ctx: _lists_of_job(ctx, whole=True),
    Call.GET_LIST_IDS_FOR_BULK_IMPORT_PROFILES_JOB: lambda ctx: _lists_of_job(ctx, whole=False),
    Call.GET_PROFILES_FOR_BULK_IMPORT_PROFILES_JOB: lambda ctx: _profiles_of_job(ctx, whole=True),
    Call.GET_PROFILE_IDS_FOR_BULK_IMPORT_PROFILES_JOB: lambda ctx: _profiles_of_job(ctx, whole=False),
    Call.GET_ERRORS_FOR_BULK_IMPORT_PROFILES_JOB: _errors_of_job,
    Call.BULK_SUBSCRIBE_PROFILES: _consent_job("subscribe"),
    Call.BULK_UNSUBSCRIBE_PROFILES: _consent_job("unsubscribe"),
    Call.BULK_SUPPRESS_PROFILES: _suppress(lift=False),
    Call.BULK_UNSUPPRESS_PROFILES: _suppress(lift=True),
    Call.GET_BULK_SUPPRESS_PROFILES_JOBS: _jobs("suppress", resources.suppression_job),
    Call.GET_BULK_SUPPRESS_PROFILES_JOB: _suppression_job("suppress"),
    Call.GET_BULK_UNSUPPRESS_PROFILES_JOBS: _jobs("unsuppress", resources.suppression_job),
    Call.GET_BULK_UNSUPPRESS_PROFILES_JOB: _suppression_job("unsuppress"),
}
