"""Samples over time: what was scraped or imported, kept compressed, and asked for in PromQL as in Prometheus 3.

Expositions and OpenMetrics files enter; answers in the shape of Prometheus' HTTP API leave. With a real Prometheus
in the settings the same answers come from there and nothing is kept.
"""
