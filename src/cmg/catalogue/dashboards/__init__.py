"""The dashboards, declared once: the console draws them, and Grafana's are rendered from them.

A panel is a title, a unit, a form and where its figures come from: PromQL, or a named report in SQL (`analytics`) for
what the ledger knows better than any metric: keys, customers, money.
"""

from cmg.catalogue.dashboards.business import CUSTOMERS, MONEY, USAGE
from cmg.catalogue.dashboards.infrastructure import INFRASTRUCTURE
from cmg.catalogue.dashboards.models import Dashboard
from cmg.catalogue.dashboards.operations import APPLICATION, OVERVIEW, SECURITY

DASHBOARDS: tuple[Dashboard, ...] = (OVERVIEW, APPLICATION, INFRASTRUCTURE, SECURITY, USAGE, MONEY, CUSTOMERS)
BY_SLUG: dict[str, Dashboard] = {dashboard.slug: dashboard for dashboard in DASHBOARDS}
