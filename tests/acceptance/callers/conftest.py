"""One service for every file here, which make accounts and keys there."""

from collections.abc import Iterator

import pytest

from support.service import Service, ServiceOptions


@pytest.fixture(scope="package")
def own() -> Iterator[Service]:
    """As it comes."""
    with Service(ServiceOptions()) as running:
        yield running
