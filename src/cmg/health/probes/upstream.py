"""An upstream: does it answer at all, does it take our key, and how many of its models are left alone?"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from cmg.health.looking import Look, Probe
from cmg.health.models import Component, Level, Reading
from cmg.kit.clock import Clock

_TRIES = 2
_TRY_S = 2.2  # two of them and the pause fit into the deadline of a look
_PAUSE_S = 0.2
_SLOW_S = 2.0


class UpstreamFault(Exception):
    """The upstream did not answer, or not as it should."""


@dataclass(frozen=True)
class Address:
    """What is asked: a `url` that costs nothing, with the `headers` of calls."""

    name: str
    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Known:
    """What is known of an upstream without asking it: models whose breaker is open, age and fault of its list."""

    broken: int = 0
    listed_age_s: float | None = None
    listed_too_old: bool = False
    fault: str = ""


def probe(
    address: Address, nowhere: str, session: aiohttp.ClientSession, known: Callable[[str], Known], clock: Clock
) -> Probe:
    """`nowhere` is a URL at which nobody answers."""
    component = Component(name=f"upstream/{address.name}", kind="system", worst=Level.UNHEALTHY, group="upstreams")
    decoy = Address(address.name, nowhere, address.headers)
    return Probe(component, _look(address, session, known, clock), (_look(decoy, session, known, clock),))


def _look(address: Address, session: aiohttp.ClientSession, known: Callable[[str], Known], clock: Clock) -> Look:
    async def look() -> Sequence[Reading]:
        """Raises `UpstreamFault`."""
        started = clock.monotonic()
        status = await _status(address, session)
        return [_answered(status), _took(clock.monotonic() - started), *_read(known(address.name))]

    return look


async def _status(address: Address, session: aiohttp.ClientSession) -> int:
    """A first failure may be chance: it is asked twice. The answer's body is left unread."""
    fault = ""
    for number in range(_TRIES):
        if number:
            await asyncio.sleep(_PAUSE_S)
        try:
            async with asyncio.timeout(_TRY_S):
                answer = await session.get(address.url, headers=address.headers, allow_redirects=False)
        except TimeoutError:
            fault = f"no answer within {_TRY_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            fault = str(error) or type(error).__name__
        else:
            answer.close()
            if answer.status < 500:
                return int(answer.status)
            fault = f"it answers {answer.status}"
    raise UpstreamFault(fault)


def _answered(status: int) -> Reading:
    """Any answer below 500 shows that it lives; not every API lists its models."""
    if status == 401:
        return Reading(measurement="status", level=Level.UNHEALTHY, value=status, output="it refuses our key (401)")
    if status == 403:
        return Reading(measurement="status", level=Level.DEGRADED, value=status, output="it refuses us (403)")
    return Reading(measurement="status", value=status)


def _took(took_s: float) -> Reading:
    slow = took_s > _SLOW_S
    told = f"an answer took {took_s:.1f} s" if slow else ""
    level = Level.DEGRADED if slow else Level.HEALTHY
    return Reading(measurement="responseTime", level=level, value=round(took_s * 1000, 1), unit="ms", output=told)


def _read(known: Known) -> list[Reading]:
    broken = "circuit breakers of some models are open" if known.broken else ""
    age = None if known.listed_age_s is None else round(known.listed_age_s, 1)
    return [
        Reading(
            measurement="openBreakers",
            level=Level.DEGRADED if known.broken else Level.HEALTHY,
            value=known.broken,
            unit="models",
            output=broken,
        ),
        Reading(
            measurement="modelsAge",
            level=Level.DEGRADED if known.listed_too_old else Level.HEALTHY,
            value=age,
            unit="s",
            output=known.fault,
        ),
    ]
