"""Server-sent events out of a byte stream, right at every split point, with the bytes they came in.

Source: WHATWG HTML, 9.2.5 "Parsing an event stream". Two deliberate differences, for a proxy: comment blocks are
handed out too (they are keep-alives worth passing on), and `finish` hands out a last event that lacks its blank line.
"""

import re

import msgspec

_END_OF_LINE = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """One event is larger than the parser's bound."""


class SseEvent(msgspec.Struct, gc=False):
    r"""One block of a stream. `data`: its data lines joined by \n; `name`: its `event:` field (empty: message).

    `raw`: its bytes as they came, blank line included: the raws of all events joined are the stream, without its byte
    order mark, which clients take for a part of the first field's name (but see `finish`).
    `comment`: the block has no data line (keep-alive comments, a lone `retry:`), so it is no content.
    """

    data: bytes
    raw: bytes
    name: bytes = b""
    comment: bool = False


class SseParser:
    """Takes bytes in any pieces, gives whole events. `event_bytes_max` bounds what it ever keeps of one event."""

    __slots__ = ("_begun", "_fields", "_kept", "_line_at", "_max", "_skip_lf")

    def __init__(self, event_bytes_max: int = 8 * 2**20) -> None:
        self._max = event_bytes_max
        self._kept = bytearray()  # the bytes of the event that is not whole yet
        self._line_at = 0  # where in `_kept` the line begins that is not whole yet
        self._fields = _Fields()
        self._skip_lf = False  # the last byte was a \r that ended a line: a \n now belongs to it
        self._begun = False  # past the place where a byte order mark may stand

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that these bytes complete. Raises `EventTooLarge`; the parser is of no use afterwards."""
        # What upstreams send: whole events, one "data: …" line each. Nothing is kept, so nothing has to be joined.
        if (
            self._begun
            and not self._kept
            and not self._skip_lf
            and chunk.endswith(b"\n\n")
            and len(chunk) <= self._max
            and b"\r" not in chunk
        ):
            return self._whole(chunk)
        return self._pieces(chunk)

    def finish(self) -> list[SseEvent]:
        """The last event when the stream ended without its blank line; only after a clean end of the body.

        Its `raw` gets a blank line: without, whatever is sent next would become a part of it.
        """
        kept, begin = self._kept, self._line_at
        if len(kept) > begin:
            self._fields.take(bytes(kept[begin:]))
        return [self._dispatch(bytes(kept) + b"\n\n")] if self._fields.lines else []

    def _whole(self, chunk: bytes) -> list[SseEvent]:
        events = []
        for block in chunk[:-2].split(b"\n\n"):
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(SseEvent(block[6:], block + b"\n\n"))
            else:
                events += self._pieces(block + b"\n\n")
        return events

    def _pieces(self, chunk: bytes) -> list[SseEvent]:
        kept, events, done = self._kept, [], 0
        scan_from = len(kept)
        kept += chunk
        begin = self._line_at
        if not self._begun:
            self._take_bom()
            scan_from = 0
        if self._skip_lf and len(kept) > scan_from:
            self._skip_lf = False
            if kept[scan_from] == 0x0A:
                scan_from += 1
                begin = scan_from
        if self._begun:
            for end in _END_OF_LINE.finditer(kept, scan_from):
                if self._fields.take(bytes(kept[begin : end.start()])):
                    self._bounded(end.end() - done)
                    events.append(self._dispatch(bytes(kept[done : end.end()])))
                    done = end.end()
                begin = end.end()
            self._skip_lf = self._skip_lf or (len(chunk) > 0 and kept.endswith(b"\r"))
        self._line_at = begin - done
        del kept[:done]
        self._bounded(len(kept))
        return events

    def _take_bom(self) -> None:
        """Take a byte order mark off the first line. Undecided while the bytes may become one."""
        if self._kept.startswith(_BOM):
            self._begun = True
            del self._kept[: len(_BOM)]
            return
        self._begun = not _BOM.startswith(self._kept)

    def _bounded(self, size: int) -> None:
        if size > self._max:
            raise EventTooLarge(f"an event of the stream is larger than {self._max} bytes")

    def _dispatch(self, raw: bytes) -> SseEvent:
        fields, self._fields = self._fields, _Fields()
        return SseEvent(b"\n".join(fields.data), raw, fields.name, not fields.data)


class _Fields:
    """The lines of one event so far."""

    __slots__ = ("data", "lines", "name")

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.name = b""
        self.lines = 0

    def take(self, line: bytes) -> bool:
        """Take one line; True when it is the blank line that ends an event."""
        if not line:
            return self.lines > 0
        self.lines += 1
        field, _, value = line.partition(b":")
        if field == b"data":
            self.data.append(value.removeprefix(b" "))
        elif field == b"event":
            self.name = value.removeprefix(b" ")
        return False
