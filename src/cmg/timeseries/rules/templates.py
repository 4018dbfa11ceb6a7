"""The part of Go's templates that labels and annotations of alerts use; anything else is an error, never wrong text.

`{{ $labels.x }}`, `{{ $value }}`, `{{ .Labels.x }}`, `{{ .Value }}`, `$externalLabels`, `$externalURL`, strings,
numbers, pipes, and the functions of `FUNCTIONS`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cmg.timeseries.rules.humanized import go_float, humanize, humanize_1024, humanize_duration, humanize_percentage

_QUOTED = r'"(?:\\.|[^"\\])*"|`[^`]*`'
_ACTION = re.compile(rf"(?P<before>\s*)\{{\{{(?P<trim>-\s)?(?P<inside>(?:{_QUOTED}|[^}}]|\}}(?!\}}))*)\}}\}}")
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)
      | (?P<label>(?:\$labels|\.Labels)\.(?P<name>[a-zA-Z_][a-zA-Z0-9_]*))
      | \$externalLabels\.(?P<external>[a-zA-Z_][a-zA-Z0-9_]*)
      | (?P<value>\$value|\.Value)(?![\w.])
      | (?P<url>\$externalURL|\.ExternalURL)(?![\w.])
      | (?P<number>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w.])
      | (?P<pipe>\|)
      | (?P<word>[a-zA-Z]\w*))""",
    re.VERBOSE,
)
_VERB = re.compile(r"%(?P<flags>[-+ 0#]*\d*(?:\.\d+)?)(?P<verb>[a-zA-Z%])")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t"}


@dataclass(frozen=True)
class Context:
    """What a template may show: the labels of the series and its value, and where the service is found."""

    labels: Mapping[str, str]
    value: float
    external_labels: Mapping[str, str]
    external_url: str


@dataclass(frozen=True)
class _Call:
    name: str
    arguments: tuple["_Operand", ...]


_Operand: TypeAlias = Callable[[Context], Any]
_Piece: TypeAlias = str | tuple[_Operand | _Call, ...]


@dataclass(frozen=True)
class Template:
    """A text with places to fill."""

    text: str
    pieces: tuple[_Piece, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template. Raises `ValueError` for what is not supported."""
        pieces: list[_Piece] = []
        end, trims = 0, False
        for found in _ACTION.finditer(text):
            inside = found["inside"]
            plain = text[end : found.start()] + ("" if found["trim"] else found["before"])
            pieces.append(plain.lstrip() if trims else plain)
            trims = inside.endswith(" -")
            pieces.append(_pipeline(inside.removesuffix(" -"), text))
            end = found.end()
        rest = text[end:].lstrip() if trims else text[end:]
        if "{{" in rest or "{{" in "".join(piece for piece in pieces if isinstance(piece, str)):
            raise ValueError(f"the template {text!r} has a {{{{ that is not closed")
        return cls(text, (*pieces, rest))

    def filled(self, context: Context) -> str:
        """The text for one alert. Where a function cannot take what it is given, the text says so: an alert fires."""
        try:
            return "".join(one if isinstance(one, str) else _printed(_run(one, context)) for one in self.pieces)
        except ValueError as error:
            return f"<error expanding template: {error}>"


def _pipeline(inside: str, whole: str) -> tuple[_Operand | _Call, ...]:
    commands: list[list[_Operand | str]] = [[]]
    place = 0
    while left := inside[place:].strip():
        found = _TOKEN.match(inside, place)
        if found is None:
            raise ValueError(f"the template {whole!r} holds {left!r}, which is not supported here")
        place = found.end()
        if found["pipe"]:
            commands.append([])
        else:
            commands[-1].append(_operand(found))
    return tuple(_command(one, first=number == 0, whole=whole) for number, one in enumerate(commands))


def _operand(found: re.Match[str]) -> _Operand | str:
    """How to get the value of one word; the name of a function stays as it is."""
    name, external = found["name"], found["external"]
    if name is not None:
        return lambda context: context.labels.get(name, "")
    if external is not None:
        return lambda context: context.external_labels.get(external, "")
    if found["value"]:
        return lambda context: context.value
    if found["url"]:
        return lambda context: context.external_url
    if found["number"]:
        number = float(found["number"])
        return lambda _: number
    if found["text"]:
        text = found["text"][1:-1]
        text = text if found["text"][0] == "`" else _ESCAPE.sub(lambda one: _ESCAPES.get(one[1], one[1]), text)
        return lambda _: text
    return found["word"]


def _command(words: Sequence[_Operand | str], *, first: bool, whole: str) -> _Operand | _Call:
    if not words:
        raise ValueError(f"the template {whole!r} has an empty place")
    head, rest = words[0], words[1:]
    if isinstance(head, str):
        if head not in FUNCTIONS:
            raise ValueError(f"the template {whole!r} uses {head!r}, which is not supported here")
        arguments = tuple(one for one in rest if not isinstance(one, str))
        least, most = FUNCTIONS[head][0]
        if len(arguments) < len(rest) or not least <= len(arguments) + (not first) <= most:
            raise ValueError(f"the template {whole!r} gives {head} wrong arguments")
        return _Call(head, arguments)
    if rest or not first:
        raise ValueError(f"the template {whole!r} calls what is no function")
    return head


def _run(pipeline: tuple[_Operand | _Call, ...], context: Context) -> Any:
    given: list[Any] = []
    for one in pipeline:
        if isinstance(one, _Call):
            arguments = [*(argument(context) for argument in one.arguments), *given]
            given = [FUNCTIONS[one.name][1](*arguments)]
        else:
            given = [one(context)]
    return given[0]


def _printed(value: Any) -> str:
    return go_float(value) if isinstance(value, float) else str(value)


def _printf(form: Any, *values: Any) -> str:
    """Go's `printf` with the verbs that Python's has too, and `%v`."""
    left = list(values)

    def told(found: re.Match[str]) -> str:
        flags, verb = found["flags"], found["verb"]
        if verb == "%":
            return "%"
        if not left:
            raise ValueError(f"printf {form!r} has more places than values")
        value = left.pop(0)
        if verb in "sv":
            return f"%{flags}s" % _printed(value)
        if verb == "g" and isinstance(value, float) and "." not in flags:
            return f"%{flags}s" % go_float(value)
        if verb in "feg" and isinstance(value, float):
            return f"%{flags}{verb}" % value
        raise ValueError(f"printf {form!r}: %{verb} is not supported for {value!r}")

    text = _VERB.sub(told, str(form))
    if left:
        raise ValueError(f"printf {form!r} has fewer places than values")
    return text


def _number(value: Any) -> float:
    return value if isinstance(value, float) else float(str(value))


FUNCTIONS: Mapping[str, tuple[tuple[int, int], Callable[..., str]]] = {
    "humanize": ((1, 1), lambda value: humanize(_number(value))),
    "humanize1024": ((1, 1), lambda value: humanize_1024(_number(value))),
    "humanizeDuration": ((1, 1), lambda value: humanize_duration(_number(value))),
    "humanizePercentage": ((1, 1), lambda value: humanize_percentage(_number(value))),
    "printf": ((1, 20), _printf),
    "toUpper": ((1, 1), lambda value: _printed(value).upper()),
    "toLower": ((1, 1), lambda value: _printed(value).lower()),
}
"""Name → fewest and most arguments, and what it does."""
