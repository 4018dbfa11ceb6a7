"""The gateway's handlers on scripted upstreams."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.gateway_calls import GatewayCalls


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayCalls]:
    """Handlers without a database."""
    calls = GatewayCalls(tmp_path)
    yield calls
    await calls.close()
