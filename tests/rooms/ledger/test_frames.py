"""The journal's bytes: whatever is cut off or damaged, what was whole before it stays, and nothing is invented."""

from hypothesis import given
from hypothesis import strategies as st

from cmg.ledger.spool.frames import frame, frames, segment_name, wanted

RECORDS = st.lists(st.tuples(st.sampled_from(["usage", "turns", "é"]), st.binary(max_size=200)), max_size=4)
GROUPS = st.lists(RECORDS, min_size=1, max_size=6)


@given(GROUPS, st.data())
def test_a_file_cut_at_any_byte_keeps_every_whole_frame(groups: list, data: st.DataObject) -> None:
    parts = [frame(group) for group in groups]
    whole = b"".join(parts)
    cut = data.draw(st.integers(0, len(whole)))
    read = list(frames(whole[:cut]))
    ends = [sum(map(len, parts[: place + 1])) for place in range(len(parts))]
    assert [records for _, records in read] == groups[: sum(end <= cut for end in ends)]
    assert [end for end, _ in read] == [end for end in ends if end <= cut]


@given(GROUPS, st.data())
def test_a_changed_byte_loses_its_frame_and_invents_nothing(groups: list, data: st.DataObject) -> None:
    whole = bytearray(b"".join(frame(group) for group in groups))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    read = [records for _, records in frames(bytes(whole))]
    assert read == groups[: len(read)]
    assert len(read) < len(groups)


@given(GROUPS, st.binary(max_size=300))
def test_garbage_behind_frames_is_not_read(groups: list, garbage: bytes) -> None:
    whole = b"".join(frame(group) for group in groups)
    read = [records for _, records in frames(whole + garbage)]
    assert read[: len(groups)] == groups
    assert len(read) == len(groups) or garbage


def test_zeros_are_no_frame() -> None:
    assert list(frames(bytes(4096))) == []
    assert wanted(bytes(8)) == 0


def test_names_of_segments_sort_like_positions() -> None:
    positions = [0, 9, 10, 16 * 2**20, 10**12]
    assert sorted(map(segment_name, positions)) == [segment_name(position) for position in positions]
