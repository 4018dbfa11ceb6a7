"""Secrets, encrypted under the master key: what stands in the database and in backups opens nothing."""

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from cmg.kit.errors import CmgError

_MARK = "sealed:"
_LEAST = 16


class CannotOpen(CmgError):
    """500: a secret was sealed under another master key than those of the settings."""

    code = "wrong_master_key"


class Sealer:
    """Seals with the first key, opens with any: that is how a key is changed without a stop.

    `keys` are asked for when a secret is first at hand.
    """

    def __init__(self, keys: Callable[[], Sequence[str]]) -> None:
        self._keys = keys

    @cached_property
    def _each(self) -> list[Fernet]:
        return [Fernet(_derived(one)) for one in self._keys()]

    def seal(self, text: str) -> str:
        """The text, encrypted; what is sealed already stays as it is."""
        return text if text.startswith(_MARK) else _MARK + self._each[0].encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text again. Raises `CannotOpen`."""
        if not sealed.startswith(_MARK):
            return sealed
        try:
            return MultiFernet(self._each).decrypt(sealed.removeprefix(_MARK)).decode()
        except InvalidToken:
            raise CannotOpen(
                "a stored secret cannot be opened: CMG_MASTER_KEY is not the one it was kept under"
            ) from None

    def renewed(self, sealed: str) -> str:
        """Sealed under the first key; the same when it is already."""
        try:
            self._each[0].decrypt(sealed.removeprefix(_MARK))
        except InvalidToken:
            return self.seal(self.open(sealed))
        return sealed


def master_keys(given: str | None, data_dir: Path) -> list[str]:
    """The keys of the settings (the first one seals; several with commas), else the one in `master.key`, made once."""
    if given:
        return [one.strip() for one in given.split(",") if one.strip()]
    file = data_dir / "master.key"
    try:
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return [file.read_text().strip()]
    with os.fdopen(made, "w") as opened:
        opened.write(Fernet.generate_key().decode() + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    return [file.read_text().strip()]


def _derived(key: str) -> bytes:
    if len(key) < _LEAST:
        raise ValueError(f"CMG_MASTER_KEY must have {_LEAST} characters at least; 44 random ones are best")
    return base64.urlsafe_b64encode(hashlib.sha256(b"cmg master key\x00" + key.encode()).digest())
