"""What a key is made of, for its forms."""

from cmg.console.parts.forms import Field

SCOPES = ("chat", "embeddings", "models", "memory:read", "memory:write", "metrics", "logs:write", "alerts", "admin")
_PERIODS = {"day": "a day", "week": "a week", "month": "a month", "lifetime": "ever"}

LIMITS = (
    Field("limits.rpm", "Requests a minute", "number"),
    Field("limits.rph", "Requests an hour", "number"),
    Field("limits.tpm", "Tokens a minute", "number"),
    Field("limits.burst", "Requests that may come at once", "number", "of those a minute"),
    Field("limits.concurrency", "Requests in flight", "number"),
)
BUDGET = (
    Field("budget.usd", "Budget in US dollars", "number"),
    Field("budget.period", "Budget's period", "choice", options=_PERIODS),
    Field("budget.alert_at", "Told at these shares", "numbers", "as 0.5, 0.8, 1"),
    Field("budget.auto_suspend", "Suspend the key when it is used up", "switch"),
)
SETTINGS = (
    Field("name", "Name"),
    Field("description", "Description"),
    Field("owner", "Owner"),
    Field("tags", "Tags", "words", "with commas between them"),
    Field("scopes", "Scopes: what it may do", "choices", options={one: one for one in SCOPES}),
    Field("memory", "Memory", "choice", options={"on": "on", "off": "off"}),
    Field("models_allow", "Models it may use", "words", "globs, as gpt-*; none: every model"),
    Field("models_block", "Models it may not use", "words"),
    Field("ip_allow", "Addresses it may come from", "words", "addresses and CIDRs; none: every address"),
    *LIMITS,
    *BUDGET,
    Field("expires_at", "Expires at", "text", "RFC 3339, as 2026-12-31T23:59:59Z"),
)
FORM = (*SETTINGS[:1], Field("workspace", "Workspace", help="none: your own"), *SETTINGS[1:])
