"""The service with two workers that these files share. None of them stops a part of it, or counts what others do."""

from collections.abc import Iterator

import pytest

from support.faulty_upstream import FaultyUpstream, closed_port
from support.service import Service, ServiceOptions, upstream_toml

TABLES = """
[[prices]]
model = "faulty/m-priced*"
completion_usd_per_mtok = 1000.0

[[routes]]
model = "smart"
candidates = ["refusing/m-smart", "backup/m-smart"]

[memory]
recall_deadline_ms = 5000  # a busy machine is not what is tested
"""
FAST = {
    "timeout_connect_s": 1,
    "timeout_first_token_s": 1.5,
    "timeout_idle_s": 1.5,
    "timeout_total_s": 60,
    "retries": 1,
}


def settings_toml(upstream: FaultyUpstream, backup: FaultyUpstream) -> str:
    """Four upstreams: `faulty` for plain names, `backup`, one that refuses, one whose key is not set."""
    names = '["m-*", "gpt-*", "embed-*", "text-embedding-*"]'
    return "\n".join(
        [
            upstream_toml("faulty", upstream.url, names, **FAST),
            upstream_toml("backup", backup.url, '["backup-only"]', **FAST),
            upstream_toml("refusing", f"http://127.0.0.1:{closed_port()}/v1", '["refused-only"]', **FAST),
            upstream_toml("unset", upstream.url, '["unset-*"]', api_key="env:TESTS_KEY_NOBODY_SETS"),
            TABLES,
        ]
    )


@pytest.fixture(scope="package")
def service(upstream: FaultyUpstream, backup: FaultyUpstream) -> Iterator[Service]:
    """One with embedded PostgreSQL and no Redis, for every file here; it ends with the last of them."""
    with Service(ServiceOptions(toml=settings_toml(upstream, backup), workers=2)) as running:
        yield running
