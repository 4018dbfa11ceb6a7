"""What only some rooms may do: read the clock, know the metrics library, write SQL."""

import ast
import re

from house.tree import SOURCE, Module, dotted, modules, strings

CLOCK_CALLS = re.compile(
    r"^(time\.(time|time_ns|localtime|gmtime|ctime)|(datetime\.)?(datetime|date)\.(now|utcnow|today))$"
)
MAY_READ_THE_CLOCK = {"src/cmg/kit/clock.py", "src/cmg/kit/ids.py"}
STATEMENT = re.compile(
    r"^\s*(select\s.+\sfrom\s|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s|with\s+\w+\s+as\s*\(|copy\s+\w+|"
    r"(create|alter|drop|truncate)\s+(unlogged\s+)?(table|index|schema|type|function)\s)",
    re.IGNORECASE | re.DOTALL,
)


def test_time_comes_from_the_injected_clock() -> None:
    found = [
        f"{module.name}:{node.lineno} {dotted(node.func)}"
        for module in modules(SOURCE)
        if module.name not in MAY_READ_THE_CLOCK
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and CLOCK_CALLS.match(dotted(node.func))
    ]
    assert not found, "\n".join(found)


def test_only_telemetry_knows_the_metrics_library() -> None:
    found = [
        module.name
        for module in modules(SOURCE)
        if "telemetry" not in module.path.parts
        and any(name.startswith("prometheus_client") for name in _imports(module))
    ]
    assert not found, found


def _imports(module: Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names.update(one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_sql_stands_in_queries_files() -> None:
    found = [
        f"{module.name}:{one.lineno} {one.value.strip()[:60]}"
        for module in modules(SOURCE)
        if not _may_hold_sql(module)
        for one in strings(module)
        if STATEMENT.match(one.value)
    ]
    assert not found, "\n".join(found)


def _may_hold_sql(module: Module) -> bool:
    """Storage builds names of partitions; a store may complete a statement where SQL takes no parameter."""
    return "storage" in module.path.parts or module.path.stem.endswith("store")


def test_only_a_store_reads_named_sql() -> None:
    found = [
        module.name
        for module in modules(SOURCE)
        if "storage" not in module.path.parts
        and not module.path.stem.endswith("store")
        and "cmg.storage.named_sql" in _imports(module)
    ]
    assert not found, found
