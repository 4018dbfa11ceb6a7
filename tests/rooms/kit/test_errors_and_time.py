"""Errors carry what a program needs; times are written in one way; socket folders are short."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmg.kit import errors
from cmg.kit.clock import SystemClock, at, rfc3339
from cmg.kit.paths import runtime_dir

STATUS = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.ModelNotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.RateLimited: 429,
    errors.BudgetExceeded: 429,
    errors.UpstreamFailed: 502,
    errors.Unavailable: 503,
    errors.UpstreamTimeout: 504,
}


@pytest.mark.parametrize(("kind", "status"), STATUS.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_an_error_has_its_status_and_a_stable_code(kind: type[errors.CmgError], status: int) -> None:
    error = kind("do this next", param="model")
    assert error.status == status
    assert error.body()["error"]["param"] == "model"
    assert error.code


def test_who_is_not_known_hears_how_to_say_who_they_are() -> None:
    assert errors.Unauthenticated("no key").headers == {"WWW-Authenticate": "Bearer"}
    other = errors.Unauthenticated("no key", headers={"WWW-Authenticate": "Basic"})
    assert other.headers == {"WWW-Authenticate": "Basic"}


def test_a_code_of_its_own_replaces_the_kinds_code() -> None:
    assert errors.NotFound("no", code="unknown_path").code == "unknown_path"
    assert errors.NotFound.code == "not_found"


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert rfc3339(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"
    assert at(0) == datetime(1970, 1, 1, tzinfo=UTC)


async def test_the_machines_clock_is_aware_and_goes_forward() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    assert abs(clock.now().timestamp() - clock.time()) < 5


def test_a_socket_folder_is_short_however_deep_the_data_lies(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["deep" * 10] * 8)
    assert len(str(runtime_dir(deep) / "backstage.sock")) < 100
    assert runtime_dir(deep) == runtime_dir(deep / "." / "x" / "..")
    assert runtime_dir(deep) != runtime_dir(tmp_path)
