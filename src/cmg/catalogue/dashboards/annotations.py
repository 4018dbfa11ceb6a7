"""What happened meanwhile, drawn into every panel of lines: what was done to the service, and what went wrong."""

from cmg.catalogue.dashboards.models import Annotation

ANNOTATIONS: tuple[Annotation, ...] = (
    Annotation(id="deploys", title="Deploys", help="deploys, starts and other things done", color="blue"),
    Annotation(id="config_changes", title="Configuration", help="settings that changed", color="purple"),
    Annotation(id="maintenances", title="Maintenance", help="announced maintenances, while they last", color="gray"),
    Annotation(id="incidents", title="Incidents", help="from the trouble's begin to its end", color="red", open=False),
)
