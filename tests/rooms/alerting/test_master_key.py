"""The master key is changed: secrets are sealed anew under the new one, and nothing is lost on the way."""

from cmg.alerting.setup.configuring import Configuring
from cmg.storage.sealing.sealer import Sealer
from support.alerting_world import document

OLD, NEW = "the old master key", "the new master key"
HOOK = {"kind": "webhook", "settings": {"url": "http://x"}, "secrets": {"secret": "hush hush"}}


async def test_secrets_are_sealed_anew_when_the_master_key_changes(database, audit, clock, admin, alerts):
    def under(*keys: str) -> Configuring:
        return Configuring(database, audit, clock, Sealer(lambda: keys))

    for name in ("a", "b"):
        await under(OLD).put(admin, "channels", name, document("channels", HOOK))
    assert await under(OLD).reseal() == 0
    assert await under(NEW).reseal() == 0, "what it cannot open it leaves alone"
    assert await under(NEW, OLD).reseal() == 2
    assert await under(NEW, OLD).reseal() == 0
    channels = (await alerts.setup("default")).channels
    assert [Sealer(lambda: [NEW]).open(one.secrets["secret"]) for one in channels.values()] == ["hush hush"] * 2
