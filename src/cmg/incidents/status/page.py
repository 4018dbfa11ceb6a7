"""The status page as HTML: no script, one small style, readable on a phone and by a screen reader."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from html import escape

from cmg.incidents.models import COMPONENTS, Incident, Maintenance
from cmg.incidents.status.bars import bars, trouble
from cmg.incidents.status.models import INDICATORS, Picture, current, uptime
from cmg.incidents.status.statuspage import incident_status
from cmg.kit.clock import rfc3339

STALE = "<!--stale-->"  # where the answering process says that the page is old
SHOWN_DAYS = 14
WORDS = {
    "operational": "Operational",
    "degraded_performance": "Degraded performance",
    "partial_outage": "Partial outage",
    "major_outage": "Major outage",
    "under_maintenance": "Under maintenance",
}
STYLE = """
:root{--ok:#2a7d46;--degraded:#9a6700;--partial:#c2500a;--major:#b3261e;--work:#3b5bdb;--none:#9aa0a6;--line:#d0d7de}
@media (prefers-color-scheme:dark){:root{--ok:#4cc38a;--degraded:#e3b341;--partial:#f0883e;--major:#ff7b72;
--work:#91a7ff;--none:#6e7681;--line:#30363d}}
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;max-width:52rem;margin:0 auto;padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem;margin:0}
.now{border:2px solid;border-left-width:.6rem;padding:.7rem 1rem;font-weight:600;margin:0}
.operational,.none{color:var(--ok)}.degraded_performance,.minor{color:var(--degraded)}
.partial_outage,.major{color:var(--partial)}.major_outage,.critical{color:var(--major)}.under_maintenance{color:var(--work)}
.now span,.told{color:CanvasText}
ul,ol{list-style:none;padding:0}li{border-top:1px solid var(--line);padding:.8rem 0}
.head{display:flex;justify-content:space-between;gap:1rem;flex-wrap:wrap}
svg{width:100%;height:2rem;display:block;margin:.4rem 0}
.ok{fill:var(--ok)}.d{fill:var(--degraded)}.p{fill:var(--partial)}.m{fill:var(--major)}.w{fill:var(--work)}
.n{fill:var(--none)}
.small{font-size:.875rem}.body{white-space:pre-line;margin:.2rem 0 .6rem}
.stale{border:2px solid var(--major);padding:.7rem 1rem}
""".strip()
POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def status_page(picture: Picture) -> bytes:
    """The page of now: components, what is open, what is planned, and the last two weeks."""
    now, told = picture.at, picture.told
    running = [one for one in told.incidents if one.open]
    recent = [
        one for one in told.incidents if one.resolved_at is not None and (now - one.resolved_at).days < SHOWN_DAYS
    ]
    parts = [
        f'<p class="now {picture.state}" role="status"><span>{INDICATORS[picture.state][1]}</span></p>',
        _incidents(picture, running, "Open incidents"),
        _maintenances(picture, current(told.maintenances, now, "in_progress", "scheduled"), "Maintenance"),
        "<h2>Components</h2>",
        _components(picture),
        _incidents(picture, recent, f"Last {SHOWN_DAYS} days")
        or f"<h2>Last {SHOWN_DAYS} days</h2><p>No incidents.</p>",
    ]
    links = (
        '<a href="/status/history">Older incidents</a> · <a href="/status/history.rss">RSS</a> · '
        '<a href="/status/history.atom">Atom</a> · <a href="/status/api/v2/summary.json">JSON</a>'
    )
    return _document(picture, f"{picture.title} status", parts, links)


def history_page(picture: Picture) -> bytes:
    """Every incident and maintenance of the last 90 days."""
    ended = list(reversed(current(picture.told.maintenances, picture.at, "completed", "in_progress", "scheduled")))
    parts = [
        _incidents(picture, picture.told.incidents, "Incidents of 90 days")
        or "<h2>Incidents</h2><p>None in 90 days.</p>",
        _maintenances(picture, ended, "Maintenances"),
    ]
    return _document(picture, f"{picture.title} status history", parts, '<a href="/status">Status now</a>')


def _document(picture: Picture, title: str, parts: Sequence[str], links: str) -> bytes:
    body = "\n".join(part for part in parts if part)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)}</title><link rel="icon" href="data:,">
<link rel="alternate" type="application/rss+xml" href="/status/history.rss" title="RSS">
<link rel="alternate" type="application/atom+xml" href="/status/history.atom" title="Atom">
<style>{STYLE}</style></head><body>
<header><h1>{escape(title)}</h1></header>
<main>{STALE}
{body}
</main>
<footer class="small"><p>As of {_time(picture.at)}. {_read(picture)}{links}</p></footer>
</body></html>
"""
    return page.encode()


def _read(picture: Picture) -> str:
    """Where incidents could not be read lately, the page says when they were."""
    if picture.told_at is None:
        return "Incidents could not be read yet. "
    late = (picture.at - picture.told_at).total_seconds() > 90
    return f"Incidents as last read at {_time(picture.told_at)}. " if late else ""


def _components(picture: Picture) -> str:
    shown = []
    for name, (label, description) in COMPONENTS.items():
        state, days = picture.states.get(name, "operational"), picture.history(name)
        share = uptime(days)
        told = "not observed yet" if share is None else f"{_percent(share)} uptime in 90 days"
        shown.append(
            f'<li><div class="head"><h3>{escape(label)}</h3><span class="{state}">{WORDS[state]}</span></div>'
            f'<div class="small">{escape(description)}</div>{bars(days, f"{label}: {told}")}'
            f'<div class="head small"><span>90 days ago</span><span>{told}</span><span>today</span></div>'
            f"{trouble(days)}</li>"
        )
    return f"<ul>{''.join(shown)}</ul>"


def _incidents(picture: Picture, incidents: Sequence[Incident], title: str) -> str:
    if not incidents:
        return ""
    return f"<h2>{title}</h2><ul>{''.join(_incident(picture, one) for one in incidents)}</ul>"


def _incident(picture: Picture, incident: Incident) -> str:
    updates = picture.updates_of(incident)
    ended = f" to {_time(incident.resolved_at)}" if incident.resolved_at else ""
    affected = ", ".join(
        f"{COMPONENTS[name][0]}: {WORDS[state].lower()}" for name, state in incident.components.items()
    )
    told = "".join(
        f'<p class="small told"><strong>{one.status.capitalize()}</strong>, {_time(one.at)}</p>'
        f'<p class="body">{escape(one.body)}</p>'
        for one in updates
    )
    state = incident_status(incident, updates).capitalize()
    return (
        f'<li id="incident-{incident.id}"><h3>{escape(incident.shown_title)}</h3>'
        f'<p class="small">{state}. {_time(incident.started_at)}{ended}. {escape(affected)}</p>{told}</li>'
    )


def _maintenances(picture: Picture, found: Sequence[Maintenance], title: str) -> str:
    if not found:
        return ""
    shown = [
        f'<li id="maintenance-{one.id}"><h3>{escape(one.title)}</h3>'
        f'<p class="small">{one.status(picture.at).replace("_", " ").capitalize()}. {_time(one.starts_at)} to '
        f"{_time(one.ends_at)}. {', '.join(COMPONENTS[name][0] for name in one.components)}</p>"
        f'<p class="body">{escape(one.body)}</p></li>'
        for one in found
    ]
    return f"<h2>{title}</h2><ul>{''.join(shown)}</ul>"


def _percent(share: float) -> str:
    """Never rounded up to 100 %."""
    return f"{int(share * 10_000) / 100:g} %"


def _time(value: datetime) -> str:
    return f'<time datetime="{rfc3339(value.timestamp())}">{value:%-d %b %Y, %H:%M} UTC</time>'


def stale_notice(age_s: float) -> bytes:
    """What stands on a page that was not renewed: the present state is not known."""
    minutes = int(age_s // 60)
    return (
        f'<p class="stale" role="alert">This page is {minutes} minutes old: it cannot be renewed now, so the '
        "state shown here may be out of date.</p>"
    ).encode()
