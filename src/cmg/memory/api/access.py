"""Who may do what with whose memory: the scopes of a key, the users it speaks for, and the key that stored a user."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cmg.identity.models import Caller
from cmg.identity.speaking.rules import USER_TOKEN, Speaking, is_staff
from cmg.kit.asgi import Request
from cmg.kit.errors import Forbidden, InvalidRequest, NotFound
from cmg.memory.api.known_users import KnownUsers
from cmg.memory.api.staff_reads import StaffReads
from cmg.memory.models import UserOfAnotherKey, owner_of, walled
from cmg.memory.policies import Policies

Require = Callable[[Caller, str], None]
NO_ITEM = "there is no such item"


@dataclass(frozen=True)
class Access:
    """One per process. `require` raises `Forbidden` when a caller lacks a scope."""

    require: Require
    speaking: Speaking
    policies: Policies
    users: KnownUsers
    staff: StaffReads

    def read(self, caller: Caller) -> None:
        """The caller may read memories."""
        self.require(caller, "memory:read")

    def write(self, caller: Caller) -> None:
        """The caller may store, change and delete memories."""
        self.require(caller, "memory:write")

    def key_of(self, caller: Caller) -> str | None:
        """In whose name a caller stores users; None: an administrator's are everybody's."""
        return None if is_staff(caller) else caller.key_id

    def wall(self, caller: Caller) -> str | None:
        """The key whose users alone the caller reaches; None: every user of the workspace."""
        return None if self.policies.shares(caller.workspace_id) else self.key_of(caller)

    def speak(self, request: Request, caller: Caller, user_id: str) -> None:
        """Raise `Forbidden` unless the caller may name this user; `InvalidRequest` for a name with a NUL."""
        if "\x00" in user_id:
            raise InvalidRequest("user_id may not hold a NUL character", param="user_id", code="invalid_value")
        self.speaking.check(caller, user_id, request.header(USER_TOKEN))

    async def meet(self, request: Request, caller: Caller, user_id: str) -> None:
        """The caller may change what this user has. Raises `Forbidden`, `UserOfAnotherKey`, `DatabaseAway`."""
        self.speak(request, caller, user_id)
        key_id = self.wall(caller)
        if key_id is not None:
            known = await self.users.find(owner_of(caller.workspace_id, user_id))
            if known is not None and walled(key_id, known.key_id):
                raise UserOfAnotherKey

    async def see(self, request: Request, caller: Caller, user_id: str, what: str) -> None:
        """The caller may read what this user has; an administrator's look is audited as one at `what`."""
        await self.meet(request, caller, user_id)
        await self.staff.note(request, caller, [user_id], what)

    async def meet_item(self, request: Request, caller: Caller, user_id: str, missing: str = NO_ITEM) -> None:
        """Raise `NotFound` unless the caller may change what the item's user has: for the key there is none.

        `missing`: what is said where there is none, so that nobody can tell the two apart.
        """
        try:
            await self.meet(request, caller, user_id)
        except Forbidden:
            raise NotFound(missing, param="id") from None

    async def see_item(self, request: Request, caller: Caller, user_id: str, what: str) -> None:
        """The same for reading."""
        await self.meet_item(request, caller, user_id)
        await self.staff.note(request, caller, [user_id], what)

    def everybody(self, caller: Caller) -> str | None:
        """The wall of a caller who names no user. Raises `Forbidden` for one who must."""
        self.speaking.check_everybody(caller)
        return self.wall(caller)

    async def saw(self, request: Request, caller: Caller, user_ids: Iterable[str], what: str) -> None:
        """An administrator is about to be shown what these users have."""
        await self.staff.note(request, caller, user_ids, what)
