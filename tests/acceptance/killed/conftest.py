"""One service for every file here, which kill its processes and stop it; the next finds it running again."""

from collections.abc import Iterator

import pytest

from support.faulty_upstream import FaultyUpstream
from support.service import Service, ServiceOptions, upstream_toml


@pytest.fixture(scope="package")
def killed(upstream: FaultyUpstream) -> Iterator[Service]:
    """With two workers."""
    options = ServiceOptions(toml=upstream_toml("faulty", upstream.url, retries=0), workers=2)
    with Service(options) as running:
        yield running


@pytest.fixture
def crashing(killed: Service) -> Service:
    """The same, running."""
    assert killed.process is not None
    if killed.process.poll() is not None:
        killed.start()
    return killed
