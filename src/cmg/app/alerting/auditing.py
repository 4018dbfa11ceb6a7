"""Builds what audits alerting, beside the jobs."""

from collections.abc import Coroutine
from typing import Any

import aiohttp

from cmg.alerting.auditing.auditor import Auditor
from cmg.alerting.desk import Desk
from cmg.app.alerting.paging import build_sender, holder_name
from cmg.app.processes.resources import Resource, Resources
from cmg.app.wiring.services import Services
from cmg.kit.clock import Clock
from cmg.telemetry.instruments import Instruments


def auditing(
    services: Services, resources: Resources, clock: Clock, instruments: Instruments
) -> Coroutine[Any, Any, None]:
    """Its work. Build it inside the loop."""
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=True)
    resources.add(Resource("auditor's connections", session.close))
    desk = Desk(services.database, services.audit, clock)
    sender = build_sender(services.settings, desk, clock, instruments, session)
    auditor = Auditor(services.database, desk, sender, clock, instruments)
    return auditor.run(holder_name())
