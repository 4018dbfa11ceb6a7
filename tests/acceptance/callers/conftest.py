"""One service for every file here, which make accounts and keys there; the last one calls whatever there is."""

from collections.abc import Iterator

import pytest

from support.faulty_upstream import FaultyUpstream
from support.service import Service, ServiceOptions, upstream_toml


@pytest.fixture(scope="package")
def own(upstream: FaultyUpstream) -> Iterator[Service]:
    """As it comes, with an upstream."""
    with Service(ServiceOptions(toml=upstream_toml("faulty", upstream.url))) as running:
        yield running
