"""From the cookie of a request to its caller."""

from collections.abc import Callable, Iterable, Mapping

from cmg.identity.models import ApiKey, Caller, Workspace
from cmg.identity.sessions.models import Client, mark_of, token_in
from cmg.identity.sessions.sessions import Sessions
from cmg.kit.errors import Unauthenticated


class SessionDoor:
    """Lets people in where `Authenticator` lets keys in. `workspaces` gives the present ones."""

    def __init__(self, sessions: Sessions, workspaces: Callable[[], Mapping[str, Workspace]]) -> None:
        self._sessions = sessions
        self._workspaces = workspaces

    async def enter(self, headers: Iterable[tuple[bytes, bytes]], address: str) -> Caller | None:
        """The caller of a request with a session's cookie; None without one. Raises `Unauthenticated`."""
        told = list(headers)
        token = token_in(told)
        if token is None:
            return None
        agent = next((value.decode("latin-1") for name, value in told if name == b"user-agent"), "")
        session, account = await self._sessions.enter(token, Client(address, agent))
        workspace = self._workspaces().get(account.workspace_id)
        if workspace is None:
            raise Unauthenticated("the workspace of this account is gone", code="session_ended")
        key = ApiKey(id="", workspace_id=account.workspace_id, name=account.email, scopes=tuple(sorted(account.scopes)))
        return Caller(key, workspace, account.scopes, address, mark_of(session, account, token))
