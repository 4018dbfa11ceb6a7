"""The memory's access as a process has it, for tests that call handlers."""

from cmg.identity.models import Caller
from cmg.identity.speaking.rules import Speaking
from cmg.kit.clock import Clock
from cmg.kit.scopes import require
from cmg.memory.api.access import Access
from cmg.memory.api.known_users import KnownUsers
from cmg.memory.api.staff_reads import StaffReads
from cmg.memory.control.sensitive_reads import SensitiveReads
from cmg.memory.policies import Policies
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments


def access_on(database: Database, policies: Policies, clock: Clock, instruments: Instruments) -> Access:
    """Access by scopes, prefixes, tokens and keys."""
    users = KnownUsers(database, clock)
    staff = StaffReads(SensitiveReads(database, clock), users, policies, clock, instruments)
    return Access(_require, Speaking(clock, instruments), policies, users, staff)


def _require(caller: Caller, scope: str) -> None:
    require(caller.scopes, scope)
