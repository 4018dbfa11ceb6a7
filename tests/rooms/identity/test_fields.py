"""What people send as settings: a clean value, or a 400 that names the field; never anything else."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.identity.forms.fields import LIMIT_MAX, changed
from cmg.identity.forms.views import settings_view
from cmg.identity.models import ApiKey
from cmg.kit.errors import InvalidRequest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
BLANK = ApiKey(id="k", workspace_id="default", name="k")
FIELDS = tuple(settings_view(BLANK))

WRONG = [
    ({"name": None}, "name"),
    ({"name": " "}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": 5}, "name"),
    ({"description": "a\0b"}, "description"),
    ({"description": "\ud800"}, "description"),
    ({"owner": "x" * 201}, "owner"),
    ({"tags": "a"}, "tags"),
    ({"tags": ["a", ""]}, "tags[1]"),
    ({"tags": [str(n) for n in range(51)]}, "tags"),
    ({"scopes": []}, "scopes"),
    ({"scopes": ["root"]}, "scopes"),
    ({"scopes": [["chat"]]}, "scopes"),
    ({"memory": "maybe"}, "memory"),
    ({"memory_scope": True}, "memory_scope"),
    ({"user_prefix": ""}, "user_prefix"),
    ({"user_prefix": "x" * 101}, "user_prefix"),
    ({"models_allow": []}, "models_allow"),
    ({"models_allow": [""]}, "models_allow[0]"),
    ({"models_block": ["x" * 201]}, "models_block[0]"),
    ({"ip_allow": []}, "ip_allow"),
    ({"ip_allow": ["10.0.0.0/33"]}, "ip_allow[0]"),
    ({"ip_allow": ["::1", "localhost"]}, "ip_allow[1]"),
    ({"ip_allow": [1]}, "ip_allow[0]"),
    ({"default_model": ""}, "default_model"),
    ({"response_cache_s": -1}, "response_cache_s"),
    ({"limits": {"rpm": 0}}, "limits.rpm"),
    ({"limits": {"rpm": True}}, "limits.rpm"),
    ({"limits": {"tpm": 1.5}}, "limits.tpm"),
    ({"limits": {"concurrency": 10**30}}, "limits.concurrency"),
    ({"limits": {"rpd": 1}}, "limits.rpd"),
    ({"limits": [1]}, "limits"),
    ({"limits": {"burst": 5}}, "limits.burst"),
    ({"limits": {"burst": 5, "tpm": 100, "concurrency": 2}}, "limits.burst"),
    ({"budget": {"usd": 1}}, "budget.period"),
    ({"budget": {"period": "day"}}, "budget.usd"),
    ({"budget": {"period": "year", "usd": 1}}, "budget.period"),
    ({"budget": {"period": "day", "usd": 0}}, "budget.usd"),
    ({"budget": {"period": "day", "usd": 1e-10}}, "budget.usd"),
    ({"budget": {"period": "day", "usd": -5}}, "budget.usd"),
    ({"budget": {"period": "day", "usd": float("nan")}}, "budget.usd"),
    ({"budget": {"period": "day", "usd": float("inf")}}, "budget.usd"),
    ({"budget": {"period": "day", "usd": 10**400}}, "budget.usd"),
    ({"budget": {"period": "day", "usd": "5"}}, "budget.usd"),
    ({"budget": {"period": "day", "usd": 5, "alert_at": [0.5, 1.5]}}, "budget.alert_at[1]"),
    ({"budget": {"period": "day", "usd": 5, "alert_at": [0]}}, "budget.alert_at[0]"),
    ({"budget": {"period": "day", "usd": 5, "auto_suspend": 1}}, "budget.auto_suspend"),
    ({"budget": {"period": "day", "usd": 5, "currency": "EUR"}}, "budget.currency"),
    ({"expires_at": "2026-11-24T12:00:00Z"}, "expires_at"),
    ({"expires_at": "2027-01-01"}, "expires_at"),
    ({"expires_at": "2027-01-01T00:00:00"}, "expires_at"),
    ({"expires_at": "2027-13-01T00:00:00Z"}, "expires_at"),
    ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
    ({"expires_at": 1_900_000_000}, "expires_at"),
    ({"review_at": "tomorrow"}, "review_at"),
    ({"id": "x"}, "id"),
    ({"status": "active"}, "status"),
    ({"workspace": "other"}, "workspace"),
    ({"hashes": []}, "hashes"),
    ({"\ud800": 1}, "?"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG, ids=[param for _, param in WRONG])
def test_a_wrong_field_is_named(fields: dict, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        changed(BLANK, fields, NOW)
    assert caught.value.param == param
    assert caught.value.json(), "the error itself can be sent"


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("2027-01-01T00:00:00Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01t00:00:00.5z", datetime(2027, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("2027-01-01 02:00:00+02:00", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-11-24T12:00:00.123456789Z", datetime(2026, 11, 24, 12, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_times_are_rfc_3339(told: str, meant: datetime) -> None:
    assert changed(BLANK, {"expires_at": told}, NOW).expires_at == meant.timestamp()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from(["chat", "day", "on", "user", "10.0.0.0/8", "2027-01-01T00:00:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*LIMIT_MAX, "period", "usd", "alert_at"]) | st.text(max_size=5), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(st.characters(codec=None), max_size=5), JSON, max_size=4))
def test_whatever_json_comes_it_is_a_key_or_a_400(fields: dict) -> None:
    try:
        key = changed(BLANK, fields, NOW)
    except InvalidRequest as error:
        told = error.json()
    else:
        told = msgspec.json.encode(settings_view(key))
    assert told


@given(st.floats(1e-9, 1e9), st.lists(st.floats(0, 1, exclude_min=True), max_size=10))
def test_a_budget_is_what_was_said(usd: float, shares: list[float]) -> None:
    budget = changed(BLANK, {"budget": {"period": "week", "usd": usd, "alert_at": shares}}, NOW).budget
    assert budget is not None
    assert abs(budget.usd_nano - usd * 1e9) <= max(1, usd * 1e9 * 1e-12)
    assert list(budget.alert_at) == sorted(set(shares))
