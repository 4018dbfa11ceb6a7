"""The embedded server takes its share of what the machine or the container has."""

import pytest

from cmg.storage.server import settings
from cmg.telemetry.machine.cgroup import Usage


@pytest.mark.parametrize(("limit", "shared"), [(512 * 2**20, "64MB"), (2**26, "32MB"), (2**45, None), (None, None)])
def test_a_containers_limit_bounds_the_shared_buffers(monkeypatch, limit, shared) -> None:
    monkeypatch.setattr(settings.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**21}.__getitem__)
    monkeypatch.setattr(settings.cgroup, "read", lambda: Usage(memory_limit_bytes=limit))
    assert settings.server_settings()["shared_buffers"] == (shared or "1024MB")


def test_a_large_machine_gives_eight_gigabytes_at_most(monkeypatch) -> None:
    monkeypatch.setattr(settings.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**26}.__getitem__)
    monkeypatch.setattr(settings.cgroup, "read", Usage)
    assert settings.server_settings()["shared_buffers"] == "8192MB"
