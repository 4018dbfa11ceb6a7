"""Keys, workspaces and the trail as JSON: what the control plane answers and the command line prints."""

from collections.abc import Sequence
from typing import Any

import msgspec

from cmg.audit.models import Stored
from cmg.identity.models import ApiKey, Budget, Limits, MemoryPolicy, Workspace
from cmg.kit.clock import rfc3339
from cmg.kit.money import nano_to_usd


def key_view(key: ApiKey, now: float) -> dict[str, Any]:
    """A key without its secret; money in dollars, times as RFC 3339.

    `state` is active, suspended, revoked or expired; `old_secret_until`: a rotated secret still works until then.
    """
    return {
        "id": key.id,
        "workspace": key.workspace_id,
        "state": state_of(key, now),
        "suspended_reason": key.suspended_reason,
        **settings_view(key),
        "old_secret_until": _time(max((end for _, end in key.hashes if end is not None and end > now), default=None)),
        "created_at": rfc3339(key.created_at),
        "updated_at": rfc3339(key.updated_at),
    }


def settings_view(key: ApiKey) -> dict[str, Any]:
    """What can be set on a key."""
    return {
        "name": key.name,
        "description": key.description,
        "owner": key.owner,
        "tags": list(key.tags),
        "scopes": list(key.scopes),
        "memory": key.memory,
        "memory_scope": key.memory_scope,
        "user_prefix": key.user_prefix,
        "models_allow": _list(key.models_allow),
        "models_block": list(key.models_block),
        "ip_allow": _list(key.ip_allow),
        "default_model": key.default_model,
        "response_cache_s": key.response_cache_s,
        "limits": limits_view(key.limits),
        "budget": None if key.budget is None else budget_view(key.budget),
        "expires_at": _time(key.expires_at),
        "review_at": _time(key.review_at),
    }


def state_of(key: ApiKey, now: float) -> str:
    """`active`, `suspended`, `revoked` or `expired`."""
    return "expired" if key.status != "revoked" and key.expired(now) else key.status


def limits_view(limits: Limits) -> dict[str, int | None]:
    """Every limit; null: no bound."""
    return dict(msgspec.structs.asdict(limits))


def budget_view(budget: Budget) -> dict[str, Any]:
    """A budget in dollars."""
    return {
        "period": budget.period,
        "usd": nano_to_usd(budget.usd_nano),
        "alert_at": list(budget.alert_at),
        "auto_suspend": budget.auto_suspend,
    }


def workspace_view(workspace: Workspace) -> dict[str, Any]:
    """A workspace; `created_at` is null for the one that every installation begins with."""
    return {
        "id": workspace.id,
        "name": workspace.name,
        "timezone": workspace.timezone,
        "memory": policy_view(workspace.memory),
        "created_at": rfc3339(workspace.created_at) if workspace.created_at else None,
    }


def policy_view(policy: MemoryPolicy) -> dict[str, Any]:
    """How a workspace's memory is kept; null: as the service's settings say."""
    return {**msgspec.structs.asdict(policy), "redact": _list(policy.redact)}


def entry_view(entry: Stored) -> dict[str, Any]:
    """An entry of the audit trail."""
    return {
        "seq": entry.seq,
        "at": rfc3339(entry.at.timestamp()),
        "actor": entry.actor,
        "workspace": entry.workspace_id,
        "action": entry.action,
        "target": entry.target,
        "details": msgspec.json.decode(entry.details),
        "client": entry.client,
        "hash": entry.hash.hex(),
    }


def differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Field → `{from, to}` of what differs between two views: the details of a change in the trail."""
    return {name: {"from": old[name], "to": value} for name, value in new.items() if old[name] != value}


def _time(epoch_s: float | None) -> str | None:
    return None if epoch_s is None else rfc3339(epoch_s)


def _list(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)
