"""Money as integers: costs in nano-USD (1e-9), prices in pico-USD (1e-12) per token.

A 64-bit column of nano-USD holds nine billion dollars; a price of 0.0000000375 USD a token is exact.
"""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

NANO = 1_000_000_000
PICO = 1_000_000_000_000
PICO_PER_NANO = 1000
CALL_NANO_MAX = 10**15  # a million dollars: what says that one call cost more is nonsense


def usd_to_nano(usd: float | str | Decimal) -> int:
    """Dollars to nano-USD, rounded half up. Raises `ValueError` for what is no finite number."""
    return _scaled(usd, NANO)


def usd_to_pico(usd: float | str | Decimal) -> int:
    """Dollars (usually per token) to pico-USD, rounded half up. Raises `ValueError`."""
    return _scaled(usd, PICO)


def pico_to_nano(pico: int) -> int:
    """Pico-USD to nano-USD, rounded half up."""
    return (pico + PICO_PER_NANO // 2) // PICO_PER_NANO


def nano_to_usd(nano: int) -> float:
    """Nano-USD to dollars for people and JSON; never calculate with the result."""
    return nano / NANO


def _scaled(usd: float | str | Decimal, unit: int) -> int:
    try:
        value = Decimal(str(usd)) * unit
        return int(value.to_integral_value(ROUND_HALF_UP))
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise ValueError(f"{usd!r} is not an amount of money") from error
