"""A process may open as many files as its connections need, where the machine lets it."""

import resource
from collections.abc import Callable, Iterator

import msgspec
import pytest

from cmg.app.processes.machine import open_more_files
from cmg.config import Settings
from cmg.config.settings import LimitSettings

SETTINGS = Settings()


@pytest.fixture
def soft() -> Iterator[Callable[[int], None]]:
    """Sets this process' soft limit, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda files: resource.setrlimit(resource.RLIMIT_NOFILE, (files, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_usual_soft_limit_is_raised_to_what_the_settings_need(soft: Callable[[int], None]) -> None:
    soft(1024)
    open_more_files(SETTINGS)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 2 * SETTINGS.limits.connections + 256


def test_a_higher_limit_stays_as_it_is(soft: Callable[[int], None]) -> None:
    soft(10_000)
    open_more_files(SETTINGS)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 10_000


def test_a_hard_limit_that_is_too_low_is_taken_as_it_is(soft: Callable[[int], None]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft(1024)
    open_more_files(msgspec.structs.replace(SETTINGS, limits=LimitSettings(connections=hard)))
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
