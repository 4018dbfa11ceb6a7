"""Entries of the trail, their hash, and the walk that finds a broken chain. Pure: no I/O here."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

GENESIS = bytes(32)
PURGED = "audit.purge"
DETAILS_BYTES_MAX = 16_384
_TEXT_MAX = 500
_SECRET = re.compile(r"\b(cmg_[A-Za-z0-9]{1,64})_[A-Za-z0-9_-]{12,}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Entry(msgspec.Struct, frozen=True):
    """One administrative change. `details` is JSON-able and never holds a secret.

    `actor` is `key:<id>`, `system` or `cli`; `action` is `noun.verb`; `workspace_id` None: the service itself.
    """

    actor: str
    workspace_id: str | None
    action: str
    target: str
    details: Mapping[str, Any] = {}
    client: str = ""


class Stored(msgspec.Struct, frozen=True):
    """An entry as it stands in the table; `details` is the JSON text that was hashed."""

    seq: int
    at: datetime
    actor: str
    workspace_id: str | None
    action: str
    target: str
    details: str
    client: str
    previous: bytes
    hash: bytes


class Head(msgspec.Struct, frozen=True):
    """Where the chain begins (`first_previous`: hash of the last purged entry) and ends."""

    first_seq: int
    first_previous: bytes
    last_seq: int
    last_hash: bytes


class Verification(msgspec.Struct, frozen=True):
    """The verdict: `entries` were walked; the first fault is at `broken_at` (a seq) for `reason`.

    `head` is the hash of the last entry in hex: note it elsewhere, and nobody can replace the whole chain unseen.
    """

    ok: bool
    entries: int
    broken_at: int | None = None
    reason: str | None = None
    head: str = ""


class Page(msgspec.Struct, frozen=True):
    """Entries, newest first; `next` is the cursor of the following page."""

    items: tuple[Stored, ...]
    next: str | None


def linked(entry: Entry, head: Head, at: datetime) -> Stored:
    """The entry as the next link after `head`."""
    bare = Stored(
        seq=head.last_seq + 1,
        at=at,
        actor=_storable(entry.actor),
        workspace_id=entry.workspace_id,
        action=_storable(entry.action),
        target=_storable(entry.target),
        details=details_text(entry.details),
        client=_storable(entry.client),
        previous=head.last_hash,
        hash=b"",
    )
    return msgspec.structs.replace(bare, hash=digest(bare))


def digest(entry: Stored) -> bytes:
    """SHA-256 over the hash before and every field; the time counts in whole microseconds."""
    micros = (entry.at - _EPOCH) // _MICROSECOND
    fields = [entry.seq, micros, entry.actor, entry.workspace_id]
    fields += [entry.action, entry.target, entry.details, entry.client]
    return hashlib.sha256(entry.previous + msgspec.json.encode(fields)).digest()


def details_text(details: Mapping[str, Any]) -> str:
    """Details as canonical JSON; anything that looks like one of our secrets is cut out, a huge one is left out."""
    raw = msgspec.json.encode(dict(details), order="deterministic")
    if len(raw) > DETAILS_BYTES_MAX:
        raw = msgspec.json.encode({"fields": sorted(map(str, details))[:100], "left_out_bytes": len(raw)})
    return _SECRET.sub(r"\1_***", raw.decode())


def _storable(text: str) -> str:
    """Text that PostgreSQL takes, bounded and without secrets."""
    clean = text.encode("utf-8", "replace").decode().replace("\0", "")
    return _SECRET.sub(r"\1_***", clean)[:_TEXT_MAX]


class Walk:
    """Follows the chain entry by entry from a head row's beginning to its end; stops at the first fault."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._seq = head.first_seq
        self._previous = head.first_previous
        self._purge_told = head.first_seq == 1 and head.first_previous == GENESIS
        self.entries = 0
        self.fault: tuple[int, str] | None = None

    @property
    def next_seq(self) -> int:
        """The entry that comes next."""
        return self._seq

    def step(self, entry: Stored) -> bool:
        """Check one entry; False when the chain is broken here."""
        if entry.seq != self._seq:
            self.fault = self._seq, "the entry is missing"
        elif entry.previous != self._previous:
            self.fault = entry.seq, "the entry does not follow from the one before"
        elif entry.hash != digest(entry):
            self.fault = entry.seq, "the entry was altered"
        else:
            self._purge_told = self._purge_told or self._tells_purge(entry)
            self._seq, self._previous = entry.seq + 1, entry.hash
            self.entries += 1
        return self.fault is None

    def _tells_purge(self, entry: Stored) -> bool:
        """An entry that names exactly the beginning we started from: the purge was ours."""
        if entry.action != PURGED:
            return False
        told = msgspec.json.decode(entry.details)
        wanted = {"through_seq": self._head.first_seq - 1, "through_hash": self._head.first_previous.hex()}
        return all(told.get(name) == value for name, value in wanted.items())

    def verdict(self) -> Verification:
        """After the last entry: does the chain end, and begin, where the head row says?"""
        head = self._head
        if self.fault is None and (self._seq, self._previous) != (head.last_seq + 1, head.last_hash):
            self.fault = self._seq, "the end of the trail is missing"
        if self.fault is None and not self._purge_told:
            self.fault = head.first_seq, "the beginning of the trail is missing, and no purge tells of it"
        at, reason = self.fault or (None, None)
        return Verification(self.fault is None, self.entries, at, reason, head.last_hash.hex())
