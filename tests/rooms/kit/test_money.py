"""Money is whole numbers: nothing is lost, and halves are rounded up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.kit.money import NANO, nano_to_usd, pico_to_nano, usd_to_nano, usd_to_pico


@pytest.mark.parametrize(
    ("usd", "nano"),
    [
        (1, NANO),
        ("0.000000001", 1),
        ("0.0000000005", 1),
        ("0.00000000049", 0),
        (0.1, 100_000_000),
        (Decimal(3), 3 * NANO),
    ],
)
def test_dollars_become_whole_nano_dollars(usd: float | str | Decimal, nano: int) -> None:
    assert usd_to_nano(usd) == nano


def test_a_price_of_a_token_is_exact_in_pico_dollars() -> None:
    assert usd_to_pico("0.0000000375") == 37_500


@pytest.mark.parametrize("usd", ["", "free", "nan", "inf", "-inf", float("inf"), float("nan")])
def test_what_is_no_amount_is_refused(usd: float | str) -> None:
    with pytest.raises(ValueError, match="not an amount of money"):
        usd_to_nano(usd)


@given(st.integers(min_value=0, max_value=2**62))
def test_rounding_pico_to_nano_is_off_by_half_at_most(pico: int) -> None:
    assert abs(pico_to_nano(pico) * 1000 - pico) <= 500


@given(st.integers(min_value=0, max_value=10**15))
def test_nano_dollars_survive_the_way_to_dollars_and_back(nano: int) -> None:
    assert usd_to_nano(nano_to_usd(nano)) == nano
