"""Where a setting stands in a TOML file, for whoever has to correct it."""

import re
from pathlib import Path


def line_of(file: Path, text: str, setting: str) -> str:
    """`cmg.toml:12` for a path like `upstreams[1].name`; the table's or file's line when the key has none."""
    *tables, key = setting.split(".")
    line, index = 1, 0
    lines = text.splitlines()
    for table in tables:
        name, _, rest = table.partition("[")
        wanted = int(rest.rstrip("]") or 0) if rest else 0
        heads = [n for n, row in enumerate(lines, 1) if re.match(rf"\s*\[\[?\s*{re.escape(name)}\s*\]\]?", row)]
        if wanted < len(heads):
            line = index = heads[wanted]
    for number, row in enumerate(lines[index:], index + 1):
        if re.match(rf"""\s*["']?{re.escape(key.partition("[")[0])}["']?\s*=""", row):
            return f"{file}:{number}"
        if index and row.lstrip().startswith("["):
            break
    head = re.compile(rf"\s*\[\[?\s*{re.escape(key.partition('[')[0])}\s*\]\]?")
    return f"{file}:{next((n for n, row in enumerate(lines, 1) if head.match(row)), line)}"
