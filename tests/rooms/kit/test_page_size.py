"""How many entries a caller gets of a list: never more than the bound, however the number is written."""

import pytest

from cmg.kit.errors import InvalidRequest
from cmg.kit.parameters.pages import page_size


@pytest.mark.parametrize(("told", "expected"), [(None, 100), ("", 100), ("1", 1), ("1000", 1000), (7, 7), ("0042", 42)])
def test_a_number_within_the_bounds_is_taken(told: object, expected: int):
    assert page_size(told) == expected


@pytest.mark.parametrize(
    "told",
    # Nine digits that are within the bounds, and more behind them: that was taken as a million.
    ["0000001009999", "0", "1001", "-1", "1e3", "²", "٣", " 5", "5.0", "9" * 5000, True, "many"],
)
def test_what_is_none_is_refused_by_name(told: object):
    with pytest.raises(InvalidRequest) as error:
        page_size(told)
    assert error.value.param == "limit"


def test_a_list_may_have_bounds_of_its_own():
    assert page_size(None, 200, 50) == 50
    with pytest.raises(InvalidRequest, match="200"):
        page_size("201", 200)
