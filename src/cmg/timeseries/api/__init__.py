"""Prometheus' HTTP API on what is kept here, or passed on to a real Prometheus.

Forms and query strings enter; JSON in Prometheus' envelope leaves, errors too.
"""
