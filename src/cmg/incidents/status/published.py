"""The rendered pages in one file on disk, and the answers from it: no database, no template, no other process.

Backstage writes the file; every process of the machine reads it, again when it has changed. A page that was not renewed
for two minutes says so.
"""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from cmg.incidents.status.models import Picture
from cmg.incidents.status.page import POLICY, STALE, stale_notice
from cmg.kit.asgi import Request, Send, send_response
from cmg.kit.clock import Clock
from cmg.kit.errors import NotFound, Unavailable
from cmg.telemetry.logs import get_logger

OLD_S = 120.0
_FORM = b"CMGSTATUS\x00\x01"
_HEAD = len(_FORM) + 32
_log = get_logger("cmg.incidents.status")
HTML, JSON = "text/html; charset=utf-8", "application/json"
RSS, ATOM = "application/rss+xml; charset=utf-8", "application/atom+xml; charset=utf-8"
PATHS = (
    "/status",
    "/status/history",
    "/status/history.rss",
    "/status/history.atom",
    "/status/api/v2/summary.json",
    "/status/api/v2/status.json",
    "/status/api/v2/components.json",
    "/status/api/v2/incidents.json",
    "/status/api/v2/incidents/unresolved.json",
    "/status/api/v2/scheduled-maintenances.json",
    "/status/api/v2/scheduled-maintenances/upcoming.json",
    "/status/api/v2/scheduled-maintenances/active.json",
)


class Page(msgspec.Struct, frozen=True, array_like=True):
    """One answer: its type, and its bytes plain and compressed."""

    kind: str
    plain: bytes
    packed: bytes


class Published(msgspec.Struct, frozen=True, array_like=True):
    """The file: when it was rendered (epoch seconds), what was known, and the page of every path."""

    at: float
    picture: Picture
    pages: dict[str, Page]


def page(kind: str, plain: bytes) -> Page:
    """An answer with its compressed form."""
    return Page(kind, plain, gzip.compress(plain, 6, mtime=0))


class PublishedFile:
    """Replaced whole, with a version and a hash: what is damaged or of another version is as if missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._last: Published | None = None

    def write(self, published: Published) -> None:
        """Replace the file. Raises `OSError`; the former one stays then."""
        payload = msgspec.msgpack.encode(published)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(_FORM + hashlib.sha256(payload).digest() + payload)
        fresh.replace(self._path)

    def read(self) -> Published | None:
        """The content, read again only when the file was replaced; the last good one while it cannot be read."""
        try:
            found = self._path.stat()
            place = (found.st_ino, found.st_mtime_ns)
            if place != self._read_at:
                self._last, self._read_at = _opened(self._path.read_bytes()), place
        except FileNotFoundError:
            return self._last
        except (OSError, msgspec.DecodeError, ValueError) as error:
            _log.warning("the file of the status page is not used", path=str(self._path), reason=str(error))
        return self._last


def _opened(data: bytes) -> Published:
    form, digest, payload = data[: len(_FORM)], data[len(_FORM) : _HEAD], data[_HEAD:]
    if form != _FORM or digest != hashlib.sha256(payload).digest():
        raise ValueError("it is damaged or of another version")
    return msgspec.msgpack.decode(payload, type=Published)


class StatusAnswers:
    """Answers `/status` and what is below it from the file alone."""

    def __init__(self, file: PublishedFile, clock: Clock) -> None:
        self._file, self._clock = file, clock

    async def handle(self, request: Request, send: Send) -> None:
        """One answer. Raises `NotFound` for other paths, `Unavailable` before anything was rendered."""
        published = self._file.read()
        if published is None:
            raise Unavailable(
                "the status page was not rendered yet; try again in a moment", headers={"retry-after": "5"}
            )
        found = published.pages.get(request.path.removesuffix("/"))
        if found is None:
            raise NotFound(f"{request.path} is not served here", code="unknown_path")
        age_s = self._clock.time() - published.at
        body, headers = _body(found, age_s, packed="gzip" in (request.header(b"accept-encoding") or ""))
        tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        headers += [(b"etag", tag.encode()), (b"age", str(max(0, int(age_s))).encode())]
        if request.header(b"if-none-match") == tag:
            await send_response(send, 304, b"", headers)
            return
        if request.method == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": [*headers, _length(body)]})
            await send({"type": "http.response.body", "body": b""})
            return
        await send_response(send, 200, body, headers)


def _body(found: Page, age_s: float, *, packed: bool) -> tuple[bytes, list[Any]]:
    headers: list[Any] = [
        (b"content-type", found.kind.encode()),
        (b"cache-control", b"public, max-age=15"),
        (b"vary", b"accept-encoding"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", POLICY.encode()),
        (b"access-control-allow-origin", b"*"),
    ]
    if age_s > OLD_S and found.kind == HTML:
        return found.plain.replace(STALE.encode(), stale_notice(age_s)), headers
    if packed:
        return found.packed, [*headers, (b"content-encoding", b"gzip")]
    return found.plain, headers


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()


def file_in(data_dir: Path) -> PublishedFile:
    """The file's place."""
    return PublishedFile(data_dir / "status.bin")
