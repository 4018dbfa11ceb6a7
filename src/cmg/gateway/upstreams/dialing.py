"""From a host name to a connection: all its addresses, the next one tried before the last one has failed."""

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from cmg.gateway.upstreams.transport import ConnectFailed

# (family, type, protocol, canonical name, (address, port, …)) as `getaddrinfo` gives them
Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

HEAD_START_S = 0.25  # RFC 8305, section 5: "Connection Attempt Delay"
_ADDRESSES_MAX = 8


class Droppable(Protocol):
    """What was connected and is not needed."""

    def drop(self) -> None:
        """Close at once."""
        ...


C = TypeVar("C", bound=Droppable)
Connect = Callable[[str], Awaitable[C]]


async def resolve(host: str, port: int) -> Sequence[Address]:
    """The addresses of a name, by the machine's resolver."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]


async def dial(host: str, port: int, connect: Connect[C], resolver: Resolve = resolve) -> C:
    """What `connect` makes of the first address that answers. Raises `ConnectFailed`; cancelling cancels every attempt.

    After RFC 8305 ("happy eyeballs"): families take turns, and an address gets a head start, not the whole limit;
    so a host whose IPv6 leads nowhere costs a quarter of a second instead of every call.
    """
    try:
        addresses = _in_turns(await resolver(host, port))[:_ADDRESSES_MAX]
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(f"the name {host!r} has no address: {error}") from error
    errors: list[str] = []
    if len(addresses) == 1:
        try:
            return await connect(addresses[0])
        except OSError as error:  # TLS errors are among these
            raise _failed(host, port, [str(error)]) from error
    attempts: set[asyncio.Future[C]] = set()
    try:
        for place, address in enumerate(addresses, 1):
            attempts.add(asyncio.ensure_future(connect(address)))
            while attempts:
                last = place == len(addresses)
                winner = await _first(attempts, errors, None if last else HEAD_START_S)
                if winner is not None:
                    return winner
                if not last:
                    break
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_discard)
            attempt.cancel()
    raise _failed(host, port, errors)


async def _first(attempts: set[asyncio.Future[C]], errors: list[str], patience_s: float | None) -> C | None:
    """What the first attempt to succeed in time made; failed ones leave `attempts` and end the wait."""
    done, _ = await asyncio.wait(attempts, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
    for attempt in done:
        error = attempt.exception()
        if error is None:
            attempts.discard(attempt)
            return attempt.result()
        attempts.discard(attempt)
        errors.append(str(error) or type(error).__name__)
    return None


def _discard(attempt: asyncio.Future[C]) -> None:
    """An attempt that nobody waits for any more: close what it made, look at what it raised."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().drop()


def _failed(host: str, port: int, errors: list[str]) -> ConnectFailed:
    return ConnectFailed(f"no connection to {host}:{port}: {'; '.join(errors) or 'no address'}")


def _in_turns(addresses: Sequence[Address]) -> list[str]:
    """The numeric addresses, families one after the other, each in the resolver's order, none twice."""
    families: dict[int, dict[str, None]] = {}
    for family, *_, place in addresses:
        families.setdefault(family, {})[place[0]] = None
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]
