"""Server-sent events come out the same whatever the pieces they came in."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cmg.gateway.sse import EventTooLarge, SseEvent, SseParser


def parse(pieces: list[bytes], bound: int = 10_000) -> list[SseEvent]:
    parser = SseParser(bound)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


def datas(stream: bytes) -> list[tuple[bytes, bytes]]:
    return [(event.name, event.data) for event in parse([stream]) if not event.comment]


def reference(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The specification's steps, on the whole stream at once: (name, data) of each event with data."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[tuple[bytes, bytes]] = []
    name, data = b"", None
    for line in [*text.split(b"\n"), b""]:
        field, _, value = line.partition(b":")
        if not line:
            if data is not None:
                events.append((name, data))
            name, data = b"", None
        elif field == b"data":
            value = value.removeprefix(b" ")
            data = value if data is None else data + b"\n" + value
        elif field == b"event":
            name = value.removeprefix(b" ")
    return events


LINES = st.sampled_from(
    [
        b"data: {}", b"data:x", b"data", b"data:  two", b"data: ", b": comment", b":", b"event: error", b"id: 7",
        b"retry: 10", b"nonsense", b"\xef\xbb\xbfdata: bom", b"data: \xe2\x82\xac",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.one_of(st.tuples(LINES, ENDS), st.tuples(st.just(b""), ENDS)), max_size=25).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@st.composite
def cut_streams(draw: st.DrawFn) -> list[bytes]:
    stream = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb"])) + draw(STREAMS)
    if draw(st.booleans()):
        stream += draw(LINES)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(cut_streams())
@example([b"\xef\xbb\xbf", b"data: x\r", b"\n\r", b"\ndata: y\n\n"])
@example([b"data: a\n\n", b"data: b\n\n\n\n", b"data: c\r\n\r\n", b"\n"])
def test_any_pieces_give_the_events_of_the_specification(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    events = parse(pieces)
    assert [(event.name, event.data) for event in events if not event.comment] == reference(stream)


@given(cut_streams())
def test_raw_bytes_joined_are_the_stream_without_its_byte_order_mark(pieces: list[bytes]) -> None:
    stream = b"".join(pieces).removeprefix(b"\xef\xbb\xbf")
    raw = b"".join(event.raw for event in parse(pieces))
    assert (stream + b"\n\n").startswith(raw)  # a last event without its blank line gets one
    assert not stream[len(raw) :].strip(b"\r\n\xef\xbb\xbf")  # blank lines at the end belong to no event


@pytest.mark.parametrize("cut", [b"data: x", b"data: x\n", b"data: x\r", b"data: x\r\n"])
def test_a_last_event_without_its_blank_line_ends_before_what_is_sent_next(cut: bytes) -> None:
    raw = b"".join(event.raw for event in parse([cut]))
    assert reference(raw + b"event: error\ndata: {}\n\n") == [(b"", b"x"), (b"error", b"{}")]


STREAM = b'\xef\xbb\xbf: hi\r\n\r\ndata: {"a":1}\n\ndata: one\ndata: two\r\rretry: 5\n\n'
STREAM += b"event: error\ndata: {}\n\ndata: [DONE]\r\n\r\n"


@pytest.mark.parametrize("at", range(len(STREAM) + 1))
def test_every_split_point_gives_the_same_events(at: int) -> None:
    whole = [(event.name, event.data, event.comment) for event in parse([STREAM])]
    assert whole == [
        (b"", b"", True),
        (b"", b'{"a":1}', False),
        (b"", b"one\ntwo", False),
        (b"", b"", True),
        (b"error", b"{}", False),
        (b"", b"[DONE]", False),
    ]
    assert [(event.name, event.data, event.comment) for event in parse([STREAM[:at], STREAM[at:]])] == whole


def test_byte_by_byte_is_the_same() -> None:
    pieces = [STREAM[at : at + 1] for at in range(len(STREAM))]
    assert [event.data for event in parse(pieces)] == [event.data for event in parse([STREAM])]


def test_an_event_is_handed_out_with_its_last_byte() -> None:
    parser = SseParser()
    assert parser.feed(b"data: x\n") == []
    assert [event.data for event in parser.feed(b"\n")] == [b"x"]
    assert parser.feed(b"data: y\r\n\r") != []  # a \r ends the blank line; a \n may follow
    assert [event.data for event in parser.feed(b"\ndata: z\n\n")] == [b"z"]


def test_comments_are_handed_out_as_no_content() -> None:
    (event,) = parse([b": OPENROUTER PROCESSING\n\n"])
    assert (event.comment, event.data, event.raw) == (True, b"", b": OPENROUTER PROCESSING\n\n")


def test_an_unfinished_event_is_handed_out_by_finish_only() -> None:
    parser = SseParser()
    assert parser.feed(b"data: one\n\ndata: last") != []
    assert [event.data for event in parser.finish()] == [b"last"]
    assert SseParser().finish() == []


def test_empty_data_is_an_event() -> None:
    assert datas(b"data\n\ndata:\n\n") == [(b"", b""), (b"", b"")]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("line", [b"data: " + b"x" * 200, b": " + b"x" * 200, (b"data: x\n" * 30)[:-1]])
def test_an_event_over_the_bound_is_refused_however_it_comes(size: int, line: bytes) -> None:
    stream = b"data: small\n\n" + line + b"\n\n"
    with pytest.raises(EventTooLarge):
        parse([stream[at : at + size] for at in range(0, len(stream), size)], bound=100)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_bound_is_for_one_event_not_for_the_stream(size: int) -> None:
    stream = b"data: small\n\n" * 100
    events = parse([stream[at : at + size] for at in range(0, len(stream), size)], bound=50)
    assert [event.data for event in events] == [b"small"] * 100


def test_a_flood_without_line_end_keeps_no_more_than_the_bound() -> None:
    parser = SseParser(1000)
    parser.feed(b"data: x\n\n")
    with pytest.raises(EventTooLarge):
        _flood(parser)
    assert len(parser._kept) <= 1100


def _flood(parser: SseParser) -> None:
    for _ in range(1000):
        parser.feed(b"x" * 100)
