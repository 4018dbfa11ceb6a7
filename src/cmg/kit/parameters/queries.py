"""What a query string may hold: a mistyped filter that is ignored gives out everything, or deletes it."""

from collections.abc import Collection, Iterable

from cmg.kit.errors import InvalidRequest

_NAMED = 10  # of the unknown ones
_CHARACTERS = 60


def refuse_unknown(query: Iterable[str], known: Collection[str]) -> None:
    """Raise `InvalidRequest` that names the parameters of a query string that are not known."""
    unknown = [f"`{name[:_CHARACTERS]}`" for name in query if name not in known][:_NAMED]
    if unknown:
        may = f"known are {', '.join(f'`{name}`' for name in known)}" if known else "this path takes none"
        raise InvalidRequest(
            f"unknown in the query string: {', '.join(unknown)}; {may}",
            param=unknown[0].strip("`"),
            code="unknown_parameter",
        )
