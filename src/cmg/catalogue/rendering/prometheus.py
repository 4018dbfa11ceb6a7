"""prometheus.yml for the services of deploy/compose.yaml, and for a cluster."""

from typing import Any

_EXPORTERS = {"node": 9100, "postgres": 9187, "redis": 9121}
_PARTS = ("gateway", "worker", "monitor")
_PORT = 8000
_PORT_NAME = "__meta_kubernetes_endpoint_port_name"


def _common() -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "15s", "scrape_timeout": "10s", "evaluation_interval": "30s"},
        "rule_files": ["rules/*.yml"],
    }


def compose() -> dict[str, Any]:
    """Targets are the services' names; a name with several containers has several addresses."""
    gateway = {
        "job_name": "cmg",
        "dns_sd_configs": [{"names": [*_PARTS], "type": "A", "port": _PORT, "refresh_interval": "15s"}],
    }
    workspaces = {
        **_of_workspaces(),
        "dns_sd_configs": [{"names": ["monitor"], "type": "A", "port": _PORT, "refresh_interval": "15s"}],
    }
    exporters = [
        {"job_name": job, "static_configs": [{"targets": [f"{job}-exporter:{port}"]}]}
        for job, port in _EXPORTERS.items()
    ]
    own = {"job_name": "prometheus", "static_configs": [{"targets": ["localhost:9090"]}]}
    alerting = {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]}
    return {**_common(), "alerting": alerting, "scrape_configs": [gateway, workspaces, *exporters, own]}


def kubernetes() -> dict[str, Any]:
    """Targets are found by the labels that charts give their services; kube-state-metrics is one of them."""
    names = {
        "cmg": "context-memory-gateway",
        "kube-state-metrics": "kube-state-metrics",
        "node": "prometheus-node-exporter|node-exporter",
        "postgres": "prometheus-postgres-exporter|postgres-exporter",
        "redis": "prometheus-redis-exporter|redis-exporter",
    }
    alertmanagers = {
        "kubernetes_sd_configs": [{"role": "endpoints"}],
        "relabel_configs": [_kept("alertmanager")],
    }
    return {
        **_common(),
        "alerting": {"alertmanagers": [alertmanagers]},
        "scrape_configs": [*(_discovered(job, name) for job, name in names.items()), _discovered_workspaces()],
    }


def _of_workspaces() -> dict[str, Any]:
    """The figures of workspaces, for their own rules: the same wherever they are read, so no label says where."""
    dropped = [{"target_label": label, "replacement": ""} for label in ("job", "instance", "pod")]
    return {
        "job_name": "cmg-workspaces",
        "metrics_path": "/metrics/workspaces",
        "scrape_interval": "1m",
        "metric_relabel_configs": [
            {"source_labels": ["__name__"], "regex": "cmg_workspace_.*", **one} for one in dropped
        ],
    }


def _discovered_workspaces() -> dict[str, Any]:
    found = _discovered("cmg-workspaces", "context-memory-gateway")
    label = "__meta_kubernetes_service_label_app_kubernetes_io_component"
    only = {"source_labels": [label], "regex": "monitor", "action": "keep"}
    return {**found, **_of_workspaces(), "relabel_configs": [*found["relabel_configs"], only]}


def _discovered(job: str, name: str) -> dict[str, Any]:
    # What an object is called must not be taken for what the exporter is called: its own labels win.
    honest: dict[str, Any] = {"honor_labels": True} if job == "kube-state-metrics" else {}
    return {
        "job_name": job,
        **honest,
        "kubernetes_sd_configs": [{"role": "endpoints"}],
        "relabel_configs": [
            _kept(name),
            {
                "source_labels": ["__meta_kubernetes_endpoint_port_name"],
                "regex": "http|http-metrics|metrics",
                "action": "keep",
            },
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        ],
    }


def _kept(name: str) -> dict[str, Any]:
    label = "__meta_kubernetes_service_label_app_kubernetes_io_name"
    return {"source_labels": [label], "regex": name, "action": "keep"}
