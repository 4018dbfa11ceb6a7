"""The dashboards, declared once: the console draws them, and Grafana's are rendered from them.

A panel is a title, a unit, a form and where its figures come from: PromQL, or a named report in SQL (`analytics`) for
what the ledger knows better than any metric: keys, customers, money.
"""

from dataclasses import replace

from cmg.catalogue.dashboards.annotations import ANNOTATIONS
from cmg.catalogue.dashboards.business import CUSTOMERS, MONEY, USAGE
from cmg.catalogue.dashboards.infrastructure import INFRASTRUCTURE
from cmg.catalogue.dashboards.models import Dashboard
from cmg.catalogue.dashboards.operations import APPLICATION, OVERVIEW, SECURITY

DASHBOARDS: tuple[Dashboard, ...] = tuple(
    replace(one, annotations=tuple(kind for kind in ANNOTATIONS if kind.open or one.scope == "service"))
    for one in (OVERVIEW, APPLICATION, INFRASTRUCTURE, SECURITY, USAGE, MONEY, CUSTOMERS)
)
BY_SLUG: dict[str, Dashboard] = {dashboard.slug: dashboard for dashboard in DASHBOARDS}
