"""Ids sort by time, are unique, and can be read aloud."""

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
