"""The door: who comes in, and who is told what, decided from the snapshot on every call."""

import hmac
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.identity import authenticator
from cmg.identity.authenticator import Authenticator, check_model
from cmg.identity.models import ApiKey, Caller, Workspace
from cmg.identity.snapshot import Snapshot
from cmg.kit.errors import Forbidden, Unauthenticated, Unavailable
from support.manual_clock import ManualClock

SECRET = "s" * 40
BEARER = f"Bearer cmg_app_{SECRET}"
HOME = Workspace(id="default", name="Default")


class Keys:
    """A source of keys in plain memory; whatever it does not hold is looked up nowhere."""

    def __init__(self) -> None:
        self.current = Snapshot({}, {"default": HOME})
        self.away = False
        self.asked: list[str] = []

    def put(self, **fields) -> None:
        hashes = fields.pop("hashes", ((sha256(SECRET.encode()).digest(), None),))
        key = ApiKey(**{"id": "app", "workspace_id": "default", "name": "app", "hashes": hashes, **fields})
        self.current.keys[key.id] = key

    async def find(self, key_id: str) -> ApiKey | None:
        self.asked.append(key_id)
        if self.away:
            raise Unavailable("the database is away")
        return None

    async def look_again(self, key_id: str) -> ApiKey | None:
        return self.current.keys.get(key_id)


@pytest.fixture
def source() -> Keys:
    keys = Keys()
    keys.put()
    return keys


@pytest.fixture
def gate(source: Keys, clock: ManualClock, instruments) -> Authenticator:
    return Authenticator(source, clock, instruments)


@pytest.mark.parametrize(
    ("authorization", "x_api_key"),
    [
        (BEARER, None),
        (BEARER.replace("Bearer", "bearer"), None),
        (BEARER.replace("Bearer", "Token"), None),
        (BEARER.replace("Bearer", "TOKEN ") + " ", None),
        (None, BEARER[7:]),
        ("Basic Zm9vOmJhcg==", BEARER[7:]),
        (BEARER, "cmg_other_0123456789"),
    ],
)
async def test_a_key_is_read_wherever_clients_put_it(gate: Authenticator, authorization, x_api_key) -> None:
    caller = await gate.authenticate(authorization, x_api_key, "10.0.0.1")
    assert (caller.key_id, caller.workspace_id, caller.client) == ("app", "default", "10.0.0.1")
    assert "chat" in caller.scopes


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        f"Bearer cmg__{SECRET}",
        "Bearer cmg_app_",
        f"Bearer cmg_app_{SECRET}\0",
        f"Bearer cmg_äpp_{SECRET}",
        f"Bearer cmg_app_{SECRET}٣",
        "Bearer cmg_" + "a" * 10_000,
        f"Basic cmg_app_{SECRET}",
        SECRET,
    ],
)
async def test_what_is_no_key_is_401_and_never_looked_up(gate: Authenticator, source: Keys, authorization) -> None:
    with pytest.raises(Unauthenticated):
        await gate.authenticate(authorization, None, "10.0.0.1")
    assert not source.asked


@given(header=st.one_of(st.none(), st.text(), st.from_regex(r"Bearer cmg_[a-z]*_[a-z0-9]*")), other=st.text())
async def test_no_header_whatever_opens_or_breaks_the_door(header: str | None, other: str) -> None:
    keys = Keys()
    keys.put()
    with pytest.raises(Unauthenticated):
        await Authenticator(keys, ManualClock()).authenticate(header, other, "10.0.0.1")


async def test_a_wrong_secret_is_refused_like_an_unknown_key(gate: Authenticator) -> None:
    with pytest.raises(Unauthenticated) as known:
        await gate.authenticate(BEARER[:-1] + "t", None, "")
    with pytest.raises(Unauthenticated) as unknown:
        await gate.authenticate(BEARER.replace("_app_", "_nobody_"), None, "")
    assert known.value.body() == unknown.value.body()
    assert known.value.code == "invalid_api_key"


async def test_every_secret_is_compared_in_constant_time_unknown_ids_too(
    gate: Authenticator, source: Keys, monkeypatch
) -> None:
    compared = []

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(authenticator, "compare_digest", spy)
    right = (sha256(SECRET.encode()).digest(), None)
    source.put(hashes=(right, (b"b" * 32, None), (b"c" * 32, 1.0)))
    await gate.authenticate(BEARER, None, "")
    assert len(compared) == 3, "no early end tells which of several secrets it was"
    with pytest.raises(Unauthenticated):
        await gate.authenticate(BEARER.replace("_app_", "_nobody_"), None, "")
    assert len(compared) == 4


async def test_a_secret_ends_at_its_time(gate: Authenticator, source: Keys, clock: ManualClock) -> None:
    source.put(hashes=((sha256(SECRET.encode()).digest(), clock.time() + 10),))
    await gate.authenticate(BEARER, None, "")
    clock.advance(10)
    with pytest.raises(Unauthenticated):
        await gate.authenticate(BEARER, None, "")


async def test_an_expired_key_is_401_from_its_second_on(gate: Authenticator, source: Keys, clock: ManualClock) -> None:
    source.put(expires_at=clock.time() + 10)
    await gate.authenticate(BEARER, None, "")
    clock.advance(10)
    with pytest.raises(Unauthenticated, match="expired"):
        await gate.authenticate(BEARER, None, "")


async def test_the_present_snapshot_decides_each_call(gate: Authenticator, source: Keys) -> None:
    await gate.authenticate(BEARER, None, "")
    source.put(status="suspended", suspended_reason="unpaid")
    with pytest.raises(Forbidden, match="suspended: unpaid") as caught:
        await gate.authenticate(BEARER, None, "")
    assert caught.value.code == "key_suspended"
    source.put(status="revoked")
    with pytest.raises(Unauthenticated):
        await gate.authenticate(BEARER, None, "")
    source.put(hashes=((b"x" * 32, None),))
    with pytest.raises(Unauthenticated):
        await gate.authenticate(BEARER, None, "")
    source.put()
    assert (await gate.authenticate(BEARER, None, "")).key_id == "app"


async def test_a_suspended_keys_state_is_told_only_to_its_holder(gate: Authenticator, source: Keys) -> None:
    source.put(status="suspended", ip_allow=("10.0.0.0/8",))
    with pytest.raises(Unauthenticated):
        await gate.authenticate(BEARER[:-1] + "t", None, "192.0.2.1")


async def test_with_the_database_away_known_keys_go_on_and_unknown_ones_are_503(
    gate: Authenticator, source: Keys
) -> None:
    source.away = True
    assert (await gate.authenticate(BEARER, None, "")).key_id == "app"
    with pytest.raises(Unavailable):
        await gate.authenticate(BEARER.replace("_app_", "_new_"), None, "")


@pytest.mark.parametrize(
    ("client", "inside"),
    [
        ("10.255.0.1", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::ffff:10.0.0.1", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("unix", False),
        ("10.0.0.1, 192.0.2.7", False),
    ],
)
async def test_only_listed_addresses_come_in(gate: Authenticator, source: Keys, client: str, *, inside: bool) -> None:
    source.put(ip_allow=("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"))
    if inside:
        assert (await gate.authenticate(BEARER, None, client)).client == client
    else:
        with pytest.raises(Forbidden, match="address"):
            await gate.authenticate(BEARER, None, client)


def _caller(**fields) -> Caller:
    key = ApiKey(**{"id": "app", "workspace_id": "default", "name": "app", **fields})
    return Caller(key, HOME, frozenset(key.scopes), "")


@pytest.mark.parametrize(
    ("allow", "block", "model", "good"),
    [
        (None, (), "anything", True),
        (("sim/*",), (), "sim/echo", True),
        (("sim/*",), (), "gpt-4o", False),
        (("sim/*",), ("sim/cut",), "sim/cut", False),
        (None, ("gpt-4*",), "gpt-4o", False),
        (None, ("gpt-4*",), "GPT-4o", False),
        (("gpt-4*",), (), "GPT-4o", False),
        (("gpt-?o",), (), "gpt-4o", True),
        (("[!a]*",), (), "bert", True),
        (("*",), ("*",), "x", False),
    ],
)
def test_models_a_block_beats_an_allowance(allow, block, model: str, *, good: bool) -> None:
    caller = _caller(models_allow=allow, models_block=block)
    if good:
        check_model(caller, model)
    else:
        with pytest.raises(Forbidden) as caught:
            check_model(caller, model)
        assert caught.value.param == "model"


def test_scopes_are_required(gate: Authenticator) -> None:
    gate.require(_caller(), "chat")
    gate.require(_caller(scopes=("admin",)), "metrics")
    for scopes, wanted in ((("chat",), "embeddings"), (("chat",), "admin"), (("admin",), "admin:all")):
        with pytest.raises(Forbidden, match=wanted):
            gate.require(_caller(scopes=scopes), wanted)


def test_a_caller_is_a_value() -> None:
    with pytest.raises(AttributeError):
        _caller().client = "x"
    assert msgspec.structs.astuple(_caller())[3] == ""
