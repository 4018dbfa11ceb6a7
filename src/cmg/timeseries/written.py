"""How numbers and times are written in answers: as Go writes them."""

import math

import numpy as np


def number(value: float) -> str:
    """The shortest decimal without an exponent that reads back the same; `NaN`, `+Inf`, `-Inf`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, unique=True, trim="-")


def sample_value(value: float) -> str:
    """The same with an exponent for the very large and the very small: what stands in an answer's `value`."""
    if value == 0 or not math.isfinite(value) or 1e-6 <= abs(value) < 1e21:
        return number(value)
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        mantissa, _, exponent = np.format_float_scientific(value, unique=True, trim="-").partition("e")
    sign, digits = exponent[0] if exponent[0] in "+-" else "+", exponent.lstrip("+-").lstrip("0")
    return f"{mantissa.removesuffix('.0')}e{sign}{digits}"


def timestamp(ms: int) -> str:
    """Seconds with at most three decimals, as a JSON number."""
    sign, (seconds, rest) = "-" if ms < 0 else "", divmod(abs(ms), 1000)
    return f"{sign}{seconds}.{rest:03}" if rest else f"{sign}{seconds}"
