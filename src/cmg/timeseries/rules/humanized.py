"""Numbers as Go prints them, and as Prometheus' templates write them for people."""

import math
from decimal import Decimal

_LARGE = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("", "m", "u", "n", "p", "f", "a", "z", "y")
_BINARY = ("", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")


def go_float(value: float) -> str:
    """The shortest digits that read back the same, with an exponent from 1e+06 up and below 0.0001."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    power, written = len(digits) - 1 + exponent, "".join(map(str, digits))
    if -4 <= power < 6:
        return f"{Decimal(repr(value)).normalize():f}"
    fraction = f".{written[1:]}" if len(written) > 1 else ""
    return f"{'-' if sign else ''}{written[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02}"


def _four(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else go_float(value)


def humanize(value: float) -> str:
    """`1234000` as `1.234M`, `0.001` as `1m`."""
    if value == 0 or not math.isfinite(value):
        return _four(value)
    return _scaled(value, 1000, _LARGE) if abs(value) >= 1 else _small(value)


def humanize_1024(value: float) -> str:
    """`2097152` as `2Mi`."""
    return _four(value) if abs(value) <= 1 or not math.isfinite(value) else _scaled(value, 1024, _BINARY)


def humanize_percentage(ratio: float) -> str:
    """`0.25` as `25%`."""
    return f"{_four(ratio * 100)}%"


def humanize_duration(seconds: float) -> str:
    """`3725` as `1h 2m 5s`, `0.0015` as `1.5ms`."""
    if not math.isfinite(seconds):
        return _four(seconds)
    if abs(seconds) < 1:
        return f"{_small(seconds)}s"
    sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
    days, hours, minutes, rest = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {rest}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {rest}s"
    if minutes:
        return f"{sign}{minutes}m {rest}s"
    return f"{sign}{_four(abs(seconds))}s"


def _scaled(value: float, base: int, prefixes: tuple[str, ...]) -> str:
    place = 0
    while abs(value) >= base and place < len(prefixes) - 1:
        value, place = value / base, place + 1
    return f"{_four(value)}{prefixes[place]}"


def _small(value: float) -> str:
    place = 0
    while value and abs(value) < 1 and place < len(_SMALL) - 1:
        value, place = value * 1000, place + 1
    return f"{_four(value)}{_SMALL[place]}"
