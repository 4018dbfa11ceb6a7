"""When an administrator reads what somebody else's memory holds: audited before it is shown, once a visit."""

from collections import OrderedDict
from collections.abc import Iterable

from cmg.identity.models import Caller, actor_of
from cmg.identity.speaking.rules import is_staff
from cmg.kit.asgi import Request
from cmg.kit.clock import Clock
from cmg.kit.errors import Forbidden, InvalidRequest
from cmg.memory.api.known_users import KnownUsers
from cmg.memory.control.sensitive_reads import REASON_CHARACTERS, SensitiveReads
from cmg.memory.models import owner_of
from cmg.memory.policies import Policies
from cmg.memory.text.cleaning import clean
from cmg.telemetry.instruments import Instruments

REASON = b"x-cmg-reason"
_KEPT = 8192
_ONE_VISIT_S = 600.0  # the same administrator, user and reason: one entry


class StaffReads:
    """One per process; what it remembers is bounded."""

    def __init__(
        self, reads: SensitiveReads, users: KnownUsers, policies: Policies, clock: Clock, instruments: Instruments
    ) -> None:
        self._reads, self._users, self._policies, self._clock = reads, users, policies, clock
        self._events = instruments.series("cmg_security_events_total", "sensitive_read")
        self._noted: OrderedDict[tuple[str, str, str, str], float] = OrderedDict()

    async def note(self, request: Request, caller: Caller, user_ids: Iterable[str], what: str) -> None:
        """Audit that an administrator reads these users' memory, once in ten minutes for each user and reason.

        Raises `Forbidden` where the workspace wants a reason and there is none, `DatabaseAway`.
        """
        if not is_staff(caller):
            return
        reason = _reason(request)
        if not reason and self._policies.of(caller.workspace_id).reason_required:
            raise Forbidden(
                "this workspace wants to know why its people's memory is read: say it in the header `x-cmg-reason`",
                param="x-cmg-reason",
                code="reason_required",
            )
        now = self._clock.monotonic()
        for user_id in user_ids:
            visit = (caller.key_id, caller.workspace_id, user_id, reason)
            if self._noted.get(visit, now) <= now and user_id != f"key:{caller.key_id}":
                owner = owner_of(caller.workspace_id, user_id)
                known = await self._users.find(owner)
                if known is not None and await self._reads.record(actor_of(caller), owner, what, reason, known):
                    self._events.inc()
                self._noted[visit] = now + _ONE_VISIT_S
                self._noted.move_to_end(visit)
                if len(self._noted) > _KEPT:
                    self._noted.popitem(last=False)


def _reason(request: Request) -> str:
    """Why, as the request says. Raises `InvalidRequest` for a reason that is too long."""
    reason = clean(request.headers.get(REASON, b"").decode("utf-8", "replace")).strip()
    if len(reason) > REASON_CHARACTERS:
        raise InvalidRequest(
            f"the header `x-cmg-reason` may have {REASON_CHARACTERS} characters at most", param="x-cmg-reason"
        )
    return reason
