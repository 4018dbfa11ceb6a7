"""Codes of six digits from a person's device (RFC 6238), and recovery codes for the day it is lost."""

import re
from hmac import compare_digest
from typing import Any

import pyotp

from cmg.identity.accounts.models import Account, token_hash
from cmg.identity.accounts.store import AccountStore
from cmg.kit.clock import Clock
from cmg.kit.ids import public_id
from cmg.storage.sealing.sealer import Sealer

RECOVERY_CODES = 10
_STEP_S = 30
_DRIFT = 1  # steps that a device's clock may be wrong
_CODE = re.compile(r"\d{6}")
_ISSUER = "Context Memory Gateway"


class SecondFactor:
    """Checks codes. Each works once: a step that was used, or lies before it, is refused."""

    def __init__(self, store: AccountStore, sealer: Sealer, clock: Clock) -> None:
        self._store, self._sealer, self._clock = store, sealer, clock

    async def matches(self, conn: Any, account: Account, code: str) -> bool:
        """Whether a code, from the device or a recovery code, is the account's; it is used up by that.

        Raises `CannotOpen`, for a code of the device only, when the master key is another one than it was.
        """
        given = code.replace(" ", "").replace("-", "").lower()
        if _CODE.fullmatch(given):
            step = self._step_of(account.totp_secret, given)
            return step is not None and await self._store.use_totp_step(conn, account.id, step)
        return await self._store.use_code(conn, account.id, token_hash(given))

    def _step_of(self, secret: str | None, code: str) -> int | None:
        if secret is None:
            return None
        present, device = int(self._clock.time() // _STEP_S), pyotp.TOTP(self._sealer.open(secret))
        found = None
        for step in range(present - _DRIFT, present + _DRIFT + 1):
            if compare_digest(device.at(step * _STEP_S), code):
                found = step
        return found


def new_secret() -> str:
    """160 random bits in base32, as devices take them."""
    return pyotp.random_base32()


def uri_of(account: Account, secret: str) -> str:
    """What a QR code for the device holds."""
    return pyotp.TOTP(secret).provisioning_uri(name=account.email, issuer_name=_ISSUER)


def new_codes() -> list[str]:
    """Recovery codes of 80 random bits each, as people read them: `abcd-efgh-…`."""
    return ["-".join(public_id(4) for _ in range(4)) for _ in range(RECOVERY_CODES)]


def code_hash(code: str) -> bytes:
    """What is kept of a recovery code."""
    return token_hash(code.replace("-", ""))
