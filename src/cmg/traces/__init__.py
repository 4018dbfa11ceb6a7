"""Kept traces: why was this call slow?

Records of requests and jobs enter from every process of the machine (`telemetry.tracing`); rows of the last hours and
spans for an OTLP collector leave. Reading them gives a tree with times and says where the time went.
"""
