"""Reading the Prometheus text format and OpenMetrics: one pass, line by line."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cmg.timeseries.labels import NAME, Labels, labels_of

_LABELS = r'\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}'
_SAMPLE = re.compile(
    rf"(?P<series>(?:[a-zA-Z_:][a-zA-Z0-9_:]*)?(?:[ \t]*{_LABELS})?)[ \t]*(?<=[ \t}}])(?P<value>[^ \t#]+)"
    r"(?:[ \t]+(?P<time>[^ \t#]+))?[ \t]*(?:#.*)?"
)
_SERIES = re.compile(rf"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)?[ \t]*(?P<labels>{_LABELS})?")
_TEXT = r'"(?P<{}>(?:[^"\\]|\\.)*)"'
_PAIR = re.compile(
    rf"[ \t]*(?:(?P<bare>[a-zA-Z_][a-zA-Z0-9_]*)|{_TEXT.format('quoted')})[ \t]*"
    rf"(?P<set>=[ \t]*{_TEXT.format('value')})?[ \t]*(?P<more>,?)"
)
_FARTHEST_MS = 10**14  # in the year 5138
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_COMMENT = re.compile(r"#[ \t]+(?P<word>HELP|TYPE|UNIT)[ \t]+(?P<name>\"(?:[^\"\\]|\\.)*\"|[^ \t]+)[ \t]?(?P<rest>.*)")


class ExpositionError(ValueError):
    """A text that is no exposition; the message names the line."""


@dataclass
class Metadata:
    """What comments say of a metric."""

    type: str = "unknown"
    help: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Point:
    """One sample; `time_ms` is None where the text gives none."""

    labels: Labels
    value: float
    time_ms: int | None


@dataclass
class Reader:
    """Reads expositions; what it learned of a series' labels is kept from one to the next, `most` of them.

    `openmetrics` says in what unit timestamps are, and that the text must end with `# EOF`.
    """

    most: int = 50_000
    metadata: dict[str, Metadata] = field(default_factory=dict)
    _known: dict[str, Labels] = field(default_factory=dict)

    def read(self, lines: Iterable[str], *, openmetrics: bool) -> Iterator[Point]:
        """The samples in the order they stand. Raises `ExpositionError`."""
        ended = False
        for number, raw in enumerate(lines, 1):
            line = raw.strip(" \t\r\n")
            if not line:
                continue
            if ended:
                raise ExpositionError(f"line {number}: there is more after # EOF")
            if line[0] == "#":
                ended = line == "# EOF" and openmetrics
                self._comment(line)
            else:
                yield self._point(line, number, openmetrics=openmetrics)
        if openmetrics and not ended:
            raise ExpositionError("the text ends without # EOF: was it cut?")

    def _comment(self, line: str) -> None:
        found = _COMMENT.match(line)
        if found is None:
            return
        name = _unescaped(found["name"].strip('"'))
        if name in self.metadata or len(self.metadata) < self.most:
            setattr(self.metadata.setdefault(name, Metadata()), found["word"].lower(), _unescaped(found["rest"]))

    def _point(self, line: str, number: int, *, openmetrics: bool) -> Point:
        found = _SAMPLE.fullmatch(line)
        if found is None:
            raise ExpositionError(f"line {number}: {line[:80]!r} is no sample")
        labels = self._known.get(found["series"])
        if labels is None:
            labels = _labels(found["series"], number)
            if len(self._known) >= self.most:
                self._known.clear()
            self._known[found["series"]] = labels
        time = None if found["time"] is None else _time_ms(found["time"], number, openmetrics=openmetrics)
        return Point(labels, _value(found["value"], number), time)


def _value(text: str, number: int) -> float:
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise ExpositionError(f"line {number}: {text!r} is no value")


def _time_ms(text: str, number: int, *, openmetrics: bool) -> int:
    """As Prometheus cuts it to ms. Raises `ExpositionError`."""
    try:
        time_ms = int(_value(text, number) * 1000) if openmetrics else int(text)
    except (ValueError, OverflowError) as error:
        raise ExpositionError(f"line {number}: {text!r} is no timestamp") from error
    if abs(time_ms) > _FARTHEST_MS:
        raise ExpositionError(f"line {number}: {text!r} is no timestamp of our time")
    return time_ms


def _labels(series: str, number: int) -> Labels:
    found = _SERIES.fullmatch(series.strip())
    if found is None:
        raise ExpositionError(f"line {number}: {series!r} is no series")
    pairs = [(NAME, found["name"])] if found["name"] else []
    inside, place = (found["labels"] or "{}")[1:-1], 0
    while place < len(inside.rstrip(" \t")):
        pair = _PAIR.match(inside, place)
        if pair is None or (pair["set"] is None and pair["quoted"] is None):
            raise ExpositionError(f"line {number}: the labels {inside!r} cannot be read")
        place = pair.end()
        if not pair["more"] and place < len(inside):
            raise ExpositionError(f"line {number}: the labels {inside!r} cannot be read")
        name = _unescaped(pair["quoted"]) if pair["bare"] is None else pair["bare"]
        pairs.append((name, _unescaped(pair["value"])) if pair["set"] else (NAME, name))
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise ExpositionError(f"line {number}: a label of {series!r} holds a NUL")
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ExpositionError(f"line {number}: a label of {series!r} is given twice")
    if NAME not in names:
        raise ExpositionError(f"line {number}: {series!r} names no metric")
    return labels_of(pairs)


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), text)
