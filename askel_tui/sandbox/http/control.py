"""The control surface under /sandbox/: actions of a person in Klaviyo's own screens, and switches for tests.

JSON, no key. `?account=ID` picks the account; without it, the first. An `{id}` is an id or a name that is unique.

GET    /sandbox/state                       profiles, lists, segments, events, metrics, flows, jobs, requests
GET    /sandbox/settings · PATCH {…}        switches (`settings.Settings`)
GET    /sandbox/accounts · POST {id, name, seed?}
GET    /sandbox/keys · POST {key?, scopes?, account?} · POST /sandbox/keys/revoke {key}   (a key or its fingerprint)
POST   /sandbox/lists {name, id?, opt_in_process?} · PATCH|DELETE /sandbox/lists/{id} · POST …/{id}/restore
PUT    /sandbox/lists/{id}/members {"profiles": [id or e-mail, …]}
POST   /sandbox/segments {name, definition?} · PATCH|DELETE /sandbox/segments/{id} · POST …/{id}/restore
PUT    /sandbox/segments/{id}/members {"profiles": […] or null}          null: the definition decides again
POST   /sandbox/flows {name, status?, trigger?} · PATCH|DELETE /sandbox/flows/{id}   status, archived, name, trigger
DELETE /sandbox/metrics/{id}
POST   /sandbox/properties/{name}/rename {"to": name} · DELETE /sandbox/properties/{name}
POST   /sandbox/profiles {"profiles": [attributes, …]} · DELETE /sandbox/profiles/{id or e-mail}
POST   /sandbox/profiles/{id or e-mail}/confirm                           clicks double opt-in links
PUT    /sandbox/profiles/{id or e-mail}/consent {"CHANNEL.marketing": {consent, consent_timestamp?, last_updated?},
         suppressions?: [{reason, timestamp}], list_suppressions?: [{list_id, reason, timestamp}]}   as it is shown
POST   /sandbox/jobs/{id}/cancel · POST /sandbox/settle                    settle: run now what is scheduled
GET    /sandbox/faults · POST {endpoint, status?, body?, delay?, reset?, lost?, cut?, after?, …} · DELETE
GET    /sandbox/requests?after=N&limit=M · DELETE                          the request log
POST   /sandbox/windows/open · POST /sandbox/save · POST /sandbox/reset {seed}
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from askel_tui.sandbox.http import control_groups
from askel_tui.sandbox.http.control_groups import ControlError, find_profile
from askel_tui.sandbox.jsonapi.errors import Refusal
from askel_tui.sandbox.state import consent, import_jobs, profiles, seed
from askel_tui.sandbox.state.account import Account
from askel_tui.sandbox.state.dump import account_state
from askel_tui.sandbox.state.faults import Fault, FaultError
from askel_tui.sandbox.state.scheduled import run_all, run_due
from askel_tui.sandbox.state.settings import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.sandbox.state.world import World


def respond(
    world: World, method: str, path: str, parameters: Mapping[str, str], raw: bytes | None
) -> tuple[int, Any]:
    """Answers a request to the control surface with a status and JSON."""
    parts = [unquote(part) for part in path.strip("/").split("/")][1:]
    try:
        body = json.loads(raw) if raw else {}
        if not isinstance(body, dict):
            raise ControlError(400, "The body must be a JSON object.")
        return 200, _respond_for_account(world, method, parts, parameters, body)
    except ControlError as error:
        return error.status, {"error": str(error)}
    except Refusal as refusal:
        return refusal.status, {"error": refusal.errors[0]["detail"]}
    except (ValueError, TypeError, KeyError, FaultError, SettingError) as error:
        return 400, {"error": str(error)}


def _respond_for_account(
    world: World, method: str, parts: list[str], parameters: Mapping[str, str], body: dict[str, Any]
) -> Any:
    now = time.time()
    of_world = _respond_for_sandbox(world, method, parts, parameters, body)
    if of_world is not None:
        return of_world
    account = _find_account(world, parameters.get("account"))
    run_due(account, now)
    match method, parts:
        case "GET", ["state"]:
            return account_state(account)
        case "GET", ["answers"]:
            return {"answers": account.requests}
        case "POST", ["settle"]:
            run_all(account)
            return {}
        case "POST", ["profiles"]:
            given = body["profiles"]
            found = [
                profiles.upsert_profile(account, row.get("id"), _without_id(row), None, now)[0]
                for row in given
            ]
            return {"profiles": [profile.id for profile in found]}
        case "DELETE", ["profiles", who]:
            account.remove_profile(find_profile(account, who))
            return {}
        case "POST", ["profiles", who, "confirm"]:
            return {"confirmed": consent.confirm_opt_ins(account, find_profile(account, who).id, now)}
        case "PUT", ["profiles", who, "consent"]:
            return consent.put_consent(account, find_profile(account, who), body)
        case "POST", ["jobs", ident, "cancel"]:
            import_jobs.cancel_import(account, account.jobs[ident], now)
            return {"status": account.jobs[ident].status}
        case "DELETE", ["metrics", ident]:
            metric = control_groups.find_by_id_or_name(account.metrics, ident)
            account.remove_metric(metric)
            return {}
        case "POST", ["properties", name, "rename"]:
            return {"profiles": control_groups.rename_property(account, name, str(body["to"]))}
        case "DELETE", ["properties", name]:
            return {"profiles": control_groups.rename_property(account, name, None)}
        case _, [("lists" | "segments" | "flows"), *_]:
            return control_groups.respond(account, method, parts, body, now)
    raise ControlError(404, f"There is no {method} /sandbox/{'/'.join(parts)}.")


def _respond_for_sandbox(
    world: World, method: str, parts: list[str], parameters: Mapping[str, str], body: dict[str, Any]
) -> Any:
    """Answers a request about the whole sandbox with JSON; None for a request about an account."""
    match method, parts:
        case (("GET" | "PATCH"), ["settings"]):
            if method == "PATCH":
                world.change_settings(body)
            return world.settings.as_dict()
        case "GET", ["accounts"]:
            return {"accounts": [{"id": one.id, "name": one.name} for one in world.accounts.values()]}
        case "POST", ["accounts"]:
            ident = str(body["id"])
            made = seed.maple_ember() if body.get("seed") == "maple-ember" else Account(ident, ident)
            made.id, made.name = ident, str(body.get("name", made.name))
            world.add_account(made)
            return {"id": ident}
        case "GET", ["keys"]:
            return {"keys": [key.as_dict() for key in world.keys.values()]}
        case "POST", ["keys"]:
            secret = str(body.get("key") or f"pk_sandbox_{secrets.token_hex(12)}")
            scopes = body.get("scopes")
            account = _find_account(world, body.get("account"))
            world.add_key(secret, account.id, None if scopes is None else frozenset(scopes))
            return {"key": secret, "account": account.id}
        case "POST", ["keys", "revoke"]:
            meant = [key for key in world.keys.values() if body["key"] in (key.secret, key.fingerprint)]
            for key in meant:
                key.revoked = True
            return {"revoked": len(meant)}
        case "GET", ["faults"]:
            return {"faults": [fault.as_dict() for fault in world.faults.all]}
        case "POST", ["faults"]:
            fault = Fault.read(body)
            world.faults.all.append(fault)
            return fault.as_dict()
        case "DELETE", ["faults"]:
            world.faults.all.clear()
            return {}
        case "GET", ["requests"]:
            after, most = int(parameters.get("after", 0)), int(parameters.get("limit", 1_000_000))
            entries = [entry for entry in world.log if entry["n"] > after][:most]
            return {"requests": entries, "last": world.logged_count}
        case "DELETE", ["requests"]:
            world.log.clear()
            return {}
        case "POST", ["windows", "open"]:
            world.rate_limits.clear()
            return {}
        case "POST", ["save"]:
            return {"saved": True}
        case "POST", ["reset"]:
            fresh = seed.build_world(str(body.get("seed", seed.SEEDS[0])))
            world.forget_all()
            world.accounts.update(fresh.accounts)
            world.keys.update(fresh.keys)
            return {}
    return None


def _find_account(world: World, ident: str | None) -> Account:
    if ident is None:
        return next(iter(world.accounts.values()))
    if ident not in world.accounts:
        raise ControlError(404, f"There is no account {ident!r}.")
    return world.accounts[ident]


def _without_id(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}
