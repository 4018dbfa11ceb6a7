"""The pages, one module each, in the order of the navigation."""

from importlib import import_module

# A page is in the console once its module is named here.
_ALL = (
    "overview",
    "dashboards",
    "requests.listing",
    "requests.one",
    "requests.traces",
    "logs.search",
    "logs.patterns",
    "playground.asking",
    "memory.explorer",
    "memory.effectiveness",
    "keys.listing",
    "keys.one",
    "keys.limits",
    "workspaces",
    "accounts",
    "alerts",
    "rules.listing",
    "incidents",
    "oncall.now",
    "runbooks",
    "audit",
    "service.models",
    "service.settings",
    "service.jobs",
)


def register() -> None:
    """Have every page register itself."""
    for name in _ALL:
        import_module(f"{__name__}.{name}")
