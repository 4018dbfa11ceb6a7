"""Ids sort by time, are unique, and can be read aloud."""

import os
import time
import uuid

from cmg.kit.ids import public_id, secret, uuid7, uuid7_hex


def test_a_row_id_is_a_version_7_uuid_of_this_moment() -> None:
    made = uuid7()
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((made.int >> 80) - time.time() * 1000) < 5000


def test_row_ids_sort_by_their_millisecond_and_never_repeat() -> None:
    made = [uuid7_hex() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert [one[:12] for one in made] == sorted(one[:12] for one in made)


def test_a_forked_child_does_not_give_out_its_parents_ids() -> None:
    uuid7_hex()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, "".join(uuid7_hex()[-16:] for _ in range(10)).encode())
        os._exit(0)
    os.wait()
    told = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    ours = {uuid7_hex()[-16:] for _ in range(10)}
    assert len(told) == 160
    assert not ours & {told[at : at + 16] for at in range(0, 160, 16)}


def test_a_hex_id_is_a_uuid_without_dashes() -> None:
    assert uuid.UUID(uuid7_hex()).version == 7


def test_a_public_id_has_no_character_that_is_misread() -> None:
    assert not set("lo01O") & set("".join(public_id() for _ in range(200)))
    assert len(public_id()) == 12


def test_a_secret_is_long_and_plain() -> None:
    made = secret()
    assert len(made) == 40
    assert made.isalnum()
    assert secret() != made
