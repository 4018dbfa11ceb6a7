"""The account that the service makes by itself: the first administrator."""

import msgspec

from cmg.identity.accounts.models import Account, email_of
from cmg.identity.accounts.passwords import Passwords
from cmg.identity.accounts.recording import Recorder, Told
from cmg.identity.accounts.store import AccountStore
from cmg.identity.models import DEFAULT_WORKSPACE, SYSTEM
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest
from cmg.kit.ids import public_id
from cmg.storage.database import Database

DEFAULT_EMAIL = "admin@localhost"


class FirstAdministrator(msgspec.Struct, frozen=True):
    """The address and the one-time password of a new administrator; no password when the settings gave one."""

    email: str
    password: str | None

    def __repr__(self) -> str:
        return f"FirstAdministrator({self.email})"


class FirstAccount:
    """Makes it when there is no account at all, also when several services start at once on one database."""

    def __init__(
        self, database: Database, store: AccountStore, passwords: Passwords, recorder: Recorder, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._passwords = passwords
        self._recorder = recorder
        self._clock = clock

    async def ensure(self, email: str | None, password: str | None) -> FirstAdministrator | None:
        """Make it from the settings; without a password it gets one for its first login, told once.

        Raises `InvalidRequest` naming the setting.
        """
        address = _address(email)
        async with self._database.transaction(timeout_s=10) as conn:
            if not await self._store.lock_first(conn):
                return None
            if password is not None:
                await self._passwords.check_new(password, "CMG_ADMIN_PASSWORD", (address,))
            told = password or one_time_password()
            now = self._clock.time()
            account = Account(
                id=public_id(),
                workspace_id=DEFAULT_WORKSPACE,
                email=address,
                name="Administrator",
                role="admin",
                status="active",
                password_hash=await self._passwords.hash(told),
                must_change=password is None,
                created_at=now,
                updated_at=now,
            )
            await self._store.insert(conn, account)
            made = Told("account.create", "user_created", {"email": address, "role": "admin", "first": True})
            await self._recorder.tell(conn, SYSTEM, account, made)
        return FirstAdministrator(address, None if password is not None else told)


def one_time_password() -> str:
    """80 random bits, as people copy them: `abcd-efgh-…`."""
    return "-".join(public_id(4) for _ in range(4))


def _address(email: str | None) -> str:
    if email is None:
        return DEFAULT_EMAIL
    try:
        return email_of(email)
    except InvalidRequest as error:
        raise InvalidRequest(f"CMG_ADMIN_EMAIL: {error.message}", param="CMG_ADMIN_EMAIL") from error
