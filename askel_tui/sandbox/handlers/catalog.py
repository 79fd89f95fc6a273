"""Handlers of /api/accounts, /api/flows and /api/templates; webhooks are refused as without Advanced KDP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.sandbox.handlers import resources
from askel_tui.sandbox.handlers.context import Context, Reply
from askel_tui.sandbox.handlers.groups import list_reply
from askel_tui.sandbox.jsonapi.errors import forbidden, not_found
from askel_tui.sandbox.state.model import Template

if TYPE_CHECKING:
    from collections.abc import Callable


def _get_accounts(ctx: Context) -> Reply:
    return Reply(200, {"data": [resources.account(ctx)], "links": ctx.links()})


def _get_account(ctx: Context) -> Reply:
    if ctx.path_id != ctx.account.id:
        raise not_found("account", ctx.path_id)
    return ctx.reply(resources.account(ctx))


def _get_flows(ctx: Context) -> Reply:
    flows = list(ctx.account.flows.values())
    reply = list_reply(ctx, flows, lambda one: resources.flow(ctx, one))
    _fill_included(ctx, (reply.body or {})["data"])
    return reply


def _get_flow(ctx: Context) -> Reply:
    data = resources.flow(ctx, ctx.requested("flow", ctx.account.flows))
    _fill_included(ctx, [data])
    return ctx.reply(data, [] if ctx.query.include else None)


def _fill_included(ctx: Context, data: list[dict[str, Any]]) -> None:
    """Fills the relationships that were asked for: flows of the sandbox have no actions and no tags."""
    for one in data:
        for name in ctx.query.include:
            one["relationships"][name]["data"] = []


def _update_flow(ctx: Context) -> Reply:
    flow = ctx.requested("flow", ctx.account.flows)
    flow.status = ctx.body_data()["attributes"]["status"]
    flow.updated = ctx.now
    return ctx.reply(resources.flow(ctx, flow), status=ctx.status)


def _delete_flow(ctx: Context) -> Reply:
    del ctx.account.flows[ctx.requested("flow", ctx.account.flows).id]
    return Reply(ctx.status)


def _no_flow_parts(ctx: Context) -> Reply:
    ctx.requested("flow", ctx.account.flows)
    return Reply(200, {"data": [], "links": ctx.links()})


def _get_templates(ctx: Context) -> Reply:
    return list_reply(ctx, list(ctx.account.templates.values()), lambda one: resources.template(ctx, one))


def _get_template(ctx: Context) -> Reply:
    return _single(ctx, ctx.requested("template", ctx.account.templates), 200)


def _create_template(ctx: Context) -> Reply:
    attributes = ctx.body["data"]["attributes"]
    made = Template(ctx.account.new_id(ctx.account.templates), attributes["name"], ctx.now, ctx.now)
    made.editor_type = attributes["editor_type"]
    _write(made, attributes)
    ctx.account.templates[made.id] = made
    return _single(ctx, made, ctx.status)


def _update_template(ctx: Context) -> Reply:
    template = ctx.requested("template", ctx.account.templates)
    _write(template, ctx.body_data()["attributes"])
    template.updated = ctx.now
    return _single(ctx, template, ctx.status)


def _delete_template(ctx: Context) -> Reply:
    del ctx.account.templates[ctx.requested("template", ctx.account.templates).id]
    return Reply(ctx.status)


def _write(template: Template, attributes: dict[str, Any]) -> None:
    template.name = attributes.get("name") or template.name
    template.html = attributes.get("html") or template.html
    template.text = attributes.get("text", template.text)
    template.amp = attributes.get("amp", template.amp)


def _single(ctx: Context, template: Template, status: int) -> Reply:
    return ctx.reply(resources.template(ctx, template), status=status)


def _no_webhooks(ctx: Context) -> Reply:
    raise forbidden("You must have Advanced KDP enabled to use this endpoint.")


_WEBHOOKS = (
    Call.GET_WEBHOOKS,
    Call.CREATE_WEBHOOK,
    Call.GET_WEBHOOK,
    Call.UPDATE_WEBHOOK,
    Call.DELETE_WEBHOOK,
    Call.GET_WEBHOOK_TOPICS,
    Call.GET_WEBHOOK_TOPIC,
)
HANDLERS: dict[str, Callable[[Context], Reply]] = {
    Call.GET_ACCOUNTS: _get_accounts,
    Call.GET_ACCOUNT: _get_account,
    Call.GET_FLOWS: _get_flows,
    Call.GET_FLOW: _get_flow,
    Call.UPDATE_FLOW: _update_flow,
    Call.DELETE_FLOW: _delete_flow,
    Call.GET_ACTIONS_FOR_FLOW: _no_flow_parts,
    Call.GET_ACTION_IDS_FOR_FLOW: _no_flow_parts,
    Call.GET_TEMPLATES: _get_templates,
    Call.GET_TEMPLATE: _get_template,
    Call.CREATE_TEMPLATE: _create_template,
    Call.UPDATE_TEMPLATE: _update_template,
    Call.DELETE_TEMPLATE: _delete_template,
    **dict.fromkeys(_WEBHOOKS, _no_webhooks),
}
