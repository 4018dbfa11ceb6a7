"""Memory policies as a process has them, without the snapshot that they come from."""

from cmg.config import MemorySettings
from cmg.identity.models import MemoryPolicy, Workspace
from cmg.memory.policies import Policies


def policies(settings: MemorySettings, **own: MemoryPolicy) -> Policies:
    """The settings for everybody but the workspaces that have a policy of their own; `default` always exists."""
    wanted = {"default": MemoryPolicy(), **own}
    known = {name: Workspace(id=name, name=name, memory=policy) for name, policy in wanted.items()}
    return Policies(settings, lambda: known)
