"""One attempt: the request to a candidate's upstream and the beginning of its answer."""

from collections.abc import Mapping
from typing import NoReturn

import msgspec

from cmg.gateway.calls.failure import NULL, Failure, from_body, from_status, from_transport, is_null, status_in
from cmg.gateway.routing.router import Candidate
from cmg.gateway.upstreams.transport import TransportError, UpstreamResponse

ANSWER_MAX = 256 * 2**20
_ERROR_MAX = 1 * 2**20
_PLACE_MAX = 200


class Failed(Exception):
    """The attempt failed; `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class _Any(msgspec.Struct):
    error: msgspec.Raw = NULL


async def ask(candidate: Candidate, path: str, body: bytes, trace: Mapping[str, str]) -> UpstreamResponse:
    """Send the request and return an answer with a good status. Raises `Failed`."""
    upstream = candidate.upstream
    headers = {**upstream.headers, **trace} if trace else upstream.headers
    try:
        response = await upstream.transport.request("POST", upstream.base_url + path, headers, body, upstream.timeouts)
        if response.status != 200:
            told = await response.read(_ERROR_MAX)
            if response.status < 400:  # a redirect, which we do not follow, or an odd good status
                raise Failed(from_body(_odd(response), candidate.name))
            raise Failed(from_status(response.status, told, response.headers, candidate.name))
    except TransportError as error:
        raise Failed(from_transport(error, candidate.name)) from error
    return response


async def whole_body(response: UpstreamResponse, candidate: Candidate) -> bytes:
    """The whole body of an answer. Raises `Failed`."""
    try:
        return await response.read(ANSWER_MAX)
    except TransportError as error:
        raise Failed(from_transport(error, candidate.name)) from error


def refuse(body: bytes, candidate: Candidate, what: str) -> NoReturn:
    """A body with a good status that is not the answer asked for: an error inside, or nonsense. Raises `Failed`."""
    try:
        error = msgspec.json.decode(body, type=_Any).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        error = NULL
    if not is_null(error):
        raise Failed(from_status(status_in(error), body, {}, candidate.name))
    raise Failed(from_body(what, candidate.name))


def _odd(response: UpstreamResponse) -> str:
    """What is told of a status that is neither an answer nor an error."""
    place = response.headers.get("location", "")[:_PLACE_MAX]
    return f"HTTP {response.status}" + (f", a redirect to {place}; check its base_url" if place else "")


def is_event_stream(response: UpstreamResponse) -> bool:
    """Whether the answer says that it is a stream of events."""
    return response.headers.get("content-type", "").lower().startswith("text/event-stream")
