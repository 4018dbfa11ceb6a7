"""Typed settings from `cmg.toml` and the environment (the environment wins).

An unknown or invalid setting stops the start: `SettingsError` names the file and the line, or the variable.
"""

from cmg.config.checking import SettingsError
from cmg.config.loading import ENVIRONMENT, load, read
from cmg.config.origins import Loaded, Origin
from cmg.config.settings import (
    AccountSettings,
    DrillSettings,
    HealthSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    MachineSettings,
    MemorySettings,
    OidcSettings,
    PriceSettings,
    RedactedKind,
    RetentionSettings,
    RouteSettings,
    Settings,
    StatusSettings,
    TargetSettings,
    TimeseriesSettings,
    TraceSettings,
    UpstreamSettings,
)

__all__ = [
    "ENVIRONMENT",
    "AccountSettings",
    "DrillSettings",
    "HealthSettings",
    "JournalSettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "MachineSettings",
    "MemorySettings",
    "OidcSettings",
    "Origin",
    "PriceSettings",
    "RedactedKind",
    "RetentionSettings",
    "RouteSettings",
    "Settings",
    "SettingsError",
    "StatusSettings",
    "TargetSettings",
    "TimeseriesSettings",
    "TraceSettings",
    "UpstreamSettings",
    "load",
    "read",
]
