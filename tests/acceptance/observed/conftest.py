"""One service for every file here, with two workers, whose processes they kill: what it tells of itself stays whole."""

from collections.abc import Iterator

import pytest

from support.otlp_receiver import OtlpReceiver
from support.service import WITHOUT_EMBEDDER, Service, ServiceOptions

TOML = """
[timeseries]
scrape_interval_s = 1

[traces]
per_second = 1000
baggage = ["team"]
"""


@pytest.fixture(scope="package")
def receiver() -> Iterator[OtlpReceiver]:
    """A collector."""
    with OtlpReceiver() as one:
        yield one


@pytest.fixture(scope="package")
def service(receiver: OtlpReceiver) -> Iterator[Service]:
    """It scrapes itself every second, and sends every trace to the collector, with its words."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    }
    with Service(ServiceOptions(toml=TOML + WITHOUT_EMBEDDER, workers=2, environ=environ)) as running:
        yield running
