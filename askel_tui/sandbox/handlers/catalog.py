"""Answers of /api/accounts, /api/flows, /api/templates; webhooks are refused as without Advanced KDP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.handlers.groups import collection
from askel_tui.sandbox.jsonapi.errors import forbidden, invalid, not_found
from askel_tui.sandbox.state.model import Flow, Template

if TYPE_CHECKING:
    from collections.abc import Callable


def _get_accounts(ctx: Context) -> Reply:
    return Reply(200, {"data": [resources.account(ctx)], "links": ctx.links()})


def _get_account(ctx: Context) -> Reply:
    if ctx.ident != ctx.account.id:
        raise not_found("account", ctx.ident)
    return Reply(200, {"data": resources.account(ctx), "links": ctx.links(paged=False)})


def _get_flows(ctx: Context) -> Reply:
    flows = list(ctx.account.flows.values())
    reply = collection(ctx, flows, lambda one: resources.flow(ctx, one))
    _relate(ctx, (reply.body or {})["data"])
    return reply


def _get_flow(ctx: Context) -> Reply:
    data = resources.flow(ctx, _flow(ctx))
    _relate(ctx, [data])
    body: dict[str, Any] = {"data": data, "links": ctx.links(paged=False)}
    if ctx.query.include:
        body["included"] = []
    return Reply(200, body)


def _relate(ctx: Context, data: list[dict[str, Any]]) -> None:
    """Flows of the sandbox have no actions and no tags."""
    for one in data:
        for name in ctx.query.include:
            one["relationships"][name]["data"] = []


def _flow(ctx: Context) -> Flow:
    if ctx.ident not in ctx.account.flows:
        raise not_found("flow", ctx.ident)
    return ctx.account.flows[ctx.ident]


def _update_flow(ctx: Context) -> Reply:
    flow = _flow(ctx)
    flow.status = _own(ctx)["attributes"]["status"]
    flow.updated = ctx.now
    return Reply(ctx.status, {"data": resources.flow(ctx, flow), "links": ctx.links(paged=False)})


def _delete_flow(ctx: Context) -> Reply:
    del ctx.account.flows[_flow(ctx).id]
    return Reply(ctx.status)


def _flow_parts(ctx: Context) -> Reply:
    _flow(ctx)
    return Reply(200, {"data": [], "links": ctx.links()})


def _get_templates(ctx: Context) -> Reply:
    return collection(ctx, list(ctx.account.templates.values()), lambda one: resources.template(ctx, one))


def _template(ctx: Context) -> Template:
    if ctx.ident not in ctx.account.templates:
        raise not_found("template", ctx.ident)
    return ctx.account.templates[ctx.ident]


def _get_template(ctx: Context) -> Reply:
    return _one(ctx, _template(ctx), 200)


def _create_template(ctx: Context) -> Reply:
    attributes = ctx.body["data"]["attributes"]
    made = Template(ctx.account.new_id(ctx.account.templates), attributes["name"], ctx.now, ctx.now)
    made.editor_type = attributes["editor_type"]
    _write(made, attributes)
    ctx.account.templates[made.id] = made
    return _one(ctx, made, ctx.status)


def _update_template(ctx: Context) -> Reply:
    template = _template(ctx)
    _write(template, _own(ctx)["attributes"])
    template.updated = ctx.now
    return _one(ctx, template, ctx.status)


def _delete_template(ctx: Context) -> Reply:
    del ctx.account.templates[_template(ctx).id]
    return Reply(ctx.status)


def _write(template: Template, attributes: dict[str, Any]) -> None:
    template.name = attributes.get("name") or template.name
    template.html = attributes.get("html") or template.html
    template.text = attributes.get("text", template.text)
    template.amp = attributes.get("amp", template.amp)


def _one(ctx: Context, template: Template, status: int) -> Reply:
    return Reply(status, {"data": resources.template(ctx, template), "links": ctx.links(paged=False)})


def _own(ctx: Context) -> dict[str, Any]:
    data: dict[str, Any] = ctx.body["data"]
    if data["id"] != ctx.ident:
        raise invalid("The id of the body and that of the path must be the same.", "/data/id")
    return data


def _no_webhooks(ctx: Context) -> Reply:
    raise forbidden("You must have Advanced KDP enabled to use this endpoint.")


_WEBHOOKS = (
    "get_webhooks",
    "create_webhook",
    "get_webhook",
    "update_webhook",
    "delete_webhook",
    "get_webhook_topics",
    "get_webhook_topic",
)
HANDLERS: dict[str, Callable[[Context], Reply]] = {
    "get_accounts": _get_accounts,
    "get_account": _get_account,
    "get_flows": _get_flows,
    "get_flow": _get_flow,
    "update_flow": _update_flow,
    "delete_flow": _delete_flow,
    "get_actions_for_flow": _flow_parts,
    "get_action_ids_for_flow": _flow_parts,
    "get_templates": _get_templates,
    "get_template": _get_template,
    "create_template": _create_template,
    "update_template": _update_template,
    "delete_template": _delete_template,
    **dict.fromkeys(_WEBHOOKS, _no_webhooks),
}
