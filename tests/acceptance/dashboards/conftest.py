"""One service that was used for a while, and a real Prometheus that scraped it, for every file here."""

from collections.abc import Iterator

import pytest

from support.dashboard_load import Watched, watching
from support.service import Service


@pytest.fixture(scope="package")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """After the load."""
    with watching(tmp_path_factory.mktemp("rules")) as one:
        yield one


@pytest.fixture(scope="package")
def service(watched: Watched) -> Service:
    """The service itself."""
    return watched.service
