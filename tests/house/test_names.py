"""Names and comments: a module is named by its noun, a room says what it is for, an opt-out gives its reason."""

import ast
import re

from house.tree import ROOT, SOURCE, TESTS, functions, modules, rooms
from support.file_order import missing

EMPTY_NAMES = {"helper", "helpers", "util", "utils", "manager", "managers", "misc", "common", "base", "core"}
NOQA = re.compile(r"#\s*noqa(?::\s*(?P<codes>[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*))?(?P<reason>.*)", re.IGNORECASE)


def test_no_module_has_an_empty_name() -> None:
    found = [module.name for folder in (SOURCE, TESTS) for module in modules(folder) if module.path.stem in EMPTY_NAMES]
    assert not found, found


def test_every_room_says_what_it_is_for() -> None:
    silent = []
    for room in rooms():
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        if len(text.split()) < 5:
            silent.append(str(room.relative_to(ROOT)))
    assert not silent, f"a room's __init__.py says what the room is for, and what enters and leaves: {silent}"


def test_an_opt_out_gives_its_reason() -> None:
    bare = []
    for module in (one for folder in (SOURCE, TESTS) for one in modules(folder)):
        for number, line in enumerate(module.text.splitlines(), 1):
            found = NOQA.search(line)
            if found and module.path.name != "test_names.py" and not (found["codes"] and _is_reason(found["reason"])):
                bare.append(f"{module.name}:{number} {line.strip()}")
    unexplained = [one for one in bare if "E402" not in one]  # an import after sys.path was set explains itself
    assert not unexplained, "\n".join(unexplained)


def _is_reason(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]{4,}", text))


def test_every_switched_off_rule_gives_its_reason() -> None:
    inside, bare = False, []
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        if line.startswith("ignore = ["):
            inside = True
        elif inside and line.startswith("]"):
            inside = False
        elif inside and not line.partition("#")[2].strip():
            bare.append(line)
    assert not bare, bare


def test_every_test_has_a_name_that_says_a_behaviour() -> None:
    short = [
        f"{module.name}:{one.lineno} {one.name}"
        for module in modules(TESTS)
        for one in functions(module)
        if one.name.startswith("test_") and one.name.count("_") < 2
    ]
    assert not short, "\n".join(short)


def test_long_files_of_tests_that_are_run_first_are_there() -> None:
    assert missing() == []
