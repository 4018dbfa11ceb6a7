"""What a scope includes. Kept apart from `permissions`, so that the hot path needs no web framework."""

from collections.abc import Collection

from cmg.kit.errors import Forbidden

EVERYTHING = "admin:all"
WORKSPACE = "admin"
READING = "admin:read"


def covers(scopes: Collection[str], wanted: str) -> bool:
    """True when a holder of `scopes` may do what needs `wanted`.

    `admin:all` includes everything in every workspace; `admin` everything in its own, so all but `admin:all`.
    `admin:read` sees what `admin` may change.
    """
    if wanted in scopes or EVERYTHING in scopes:
        return True
    return wanted != EVERYTHING and WORKSPACE in scopes


def require(scopes: Collection[str], wanted: str) -> None:
    """Raise `Forbidden` unless a holder of `scopes` may do what needs `wanted`."""
    if wanted not in scopes and not covers(scopes, wanted):
        raise Forbidden(f"this API key lacks the scope `{wanted}`", code="missing_scope")
