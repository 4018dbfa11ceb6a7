"""Sizes: they may only tighten. Exempt are the composition root's straight line and pure tables of data."""

import ast
from collections.abc import Iterable

from house.tree import SOURCE, TESTS, Function, Module, functions, length, modules, rooms

FUNCTION_LINES, FUNCTION_LINES_AIM = 60, 35
FILE_LINES, FILE_LINES_AIM = 400, 250
TEST_FILE_LINES, TEST_LINES_AIM = 500, 25
PARAMETERS = 6
MODULES = 10
EXEMPT = {"src/cmg/catalogue/metrics.py"}


def _source() -> list[Module]:
    return [module for module in modules(SOURCE) if module.name not in EXEMPT]


def _share(lengths: Iterable[int], limit: int) -> float:
    found = list(lengths)
    return sum(one <= limit for one in found) / max(1, len(found))


def test_a_function_fits_on_a_page() -> None:
    long = [
        f"{module.name}:{one.lineno} {one.name} has {length(one)} lines"
        for module in _source()
        for one in functions(module)
        if length(one) > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_nine_functions_in_ten_are_short() -> None:
    assert _share((length(one) for module in _source() for one in functions(module)), FUNCTION_LINES_AIM) >= 0.9


def test_a_file_is_read_in_one_sitting() -> None:
    long = [f"{module.name} has {module.lines} lines" for module in _source() if module.lines > FILE_LINES]
    assert not long, "\n".join(long)


def test_nine_files_in_ten_are_short() -> None:
    assert _share((module.lines for module in _source()), FILE_LINES_AIM) >= 0.9


def test_a_test_file_is_bounded() -> None:
    long = [f"{module.name} has {module.lines} lines" for module in modules(TESTS) if module.lines > TEST_FILE_LINES]
    assert not long, "\n".join(long)


def test_tests_are_mostly_short() -> None:
    tests = [one for module in modules(TESTS) for one in functions(module) if one.name.startswith("test_")]
    assert _share((length(one) for one in tests), TEST_LINES_AIM) >= 0.9


def test_nobody_takes_more_than_six_parameters() -> None:
    wide = [
        f"{module.name}:{one.lineno} {one.name} takes {_parameters(one)}: group them in a dataclass"
        for module in _source()
        for one in functions(module)
        if _parameters(one) > PARAMETERS
    ]
    assert not wide, "\n".join(wide)


def _parameters(function: Function) -> int:
    taken: ast.arguments = function.args
    names = [one.arg for one in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    return sum(name not in ("self", "cls") for name in names)


def test_a_room_with_more_than_ten_modules_gets_a_sub_room() -> None:
    crowded = [
        f"{room.relative_to(SOURCE)} has {count} modules"
        for room in rooms()
        if room != SOURCE and (count := sum(path.name != "__init__.py" for path in room.glob("*.py"))) > MODULES
    ]
    assert not crowded, "\n".join(crowded)
