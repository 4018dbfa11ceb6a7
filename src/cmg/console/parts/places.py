"""Which pages there are."""

import re

import msgspec

# The order of the navigation's groups; a page of a group that is not here stands behind them.
GROUPS = ("", "Watch", "Memory", "Access", "Respond", "Service")


class Place(msgspec.Struct, frozen=True):
    """A page in the navigation; one without an icon is reached by links only."""

    path: str
    title: str
    icon: str
    group: str
    needs: str


PLACES: list[Place] = []


def rank(group: str) -> tuple[int, str]:
    """Where a group stands."""
    return (GROUPS.index(group) if group in GROUPS else len(GROUPS), group)


def known(path: str) -> bool:
    """Whether a page has this path."""
    return any(re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", place.path), path) for place in PLACES)
