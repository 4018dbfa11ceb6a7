"""How each workspace's memory is kept: its own policy where it has one, else what the settings say."""

from collections.abc import Callable, Mapping

import msgspec

from cmg.config import MemorySettings
from cmg.identity.models import MemoryPolicy, Workspace
from cmg.memory.text.redaction import Redactor

_NO_POLICY = MemoryPolicy()
_USD_NANO = 1_000_000_000
_MADE_MAX = 64


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one workspace. Days of 0: no bound. `nano_per_day`: what models may cost (nano-USD)."""

    retention_days: int
    item_days: int
    half_life_days: int
    redactor: Redactor
    draws_facts: bool
    models_may_read: bool
    nano_per_day: int
    shared: bool
    reason_required: bool


class Policies:
    """`workspaces` gives all workspaces by id, as the snapshot knows them: a change holds within 2 s."""

    def __init__(self, settings: MemorySettings, workspaces: Callable[[], Mapping[str, Workspace]]) -> None:
        self.settings, self._workspaces = settings, workspaces
        self._made: dict[MemoryPolicy, Policy] = {}

    def of(self, workspace_id: str) -> Policy:
        """What holds for a workspace; for one that is not known, the settings."""
        workspace = self._workspaces().get(workspace_id)
        own = _NO_POLICY if workspace is None else workspace.memory
        made = self._made.get(own)
        if made is None:
            if len(self._made) >= _MADE_MAX:
                self._made.clear()
            made = self._made[own] = self._resolved(own)
        return made

    def shares(self, workspace_id: str) -> bool:
        """Whether the keys of a workspace read each other's users."""
        return self.of(workspace_id).shared

    def all(self) -> dict[str, Policy]:
        """Every workspace and what holds for it."""
        return {workspace_id: self.of(workspace_id) for workspace_id in list(self._workspaces())}

    def _resolved(self, own: MemoryPolicy) -> Policy:
        usual = self.settings
        extraction = usual.extraction if own.extraction is None or usual.extraction == "off" else own.extraction
        usd = usual.extraction_usd_per_day if own.extraction_usd_per_day is None else own.extraction_usd_per_day
        return Policy(
            retention_days=usual.retention_days if own.retention_days is None else own.retention_days,
            item_days=usual.item_days if own.item_days is None else own.item_days,
            half_life_days=usual.half_life_days if own.half_life_days is None else own.half_life_days,
            redactor=Redactor(usual.redact if own.redact is None else own.redact),
            draws_facts=extraction != "off",
            models_may_read=own.extraction is None,
            nano_per_day=int(usd * _USD_NANO),
            shared=own.shared,
            reason_required=own.reason_required,
        )
