"""What settings mean, as the running service tells it: taken from docs/configuration.md, where it is written.

python tests/house/settings_meanings.py --write
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"
KEPT = ROOT / "src" / "cmg" / "config" / "meanings.json"
_ROW = re.compile(r"^\| `(?P<name>[a-z][a-z0-9_.\[\]]*)` \|.*\| (?P<meaning>[^|]*?) ?\|$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def meanings() -> dict[str, str]:
    """Setting, as `upstreams[].retries` → its meaning without marks."""
    rows = {found["name"]: found["meaning"] for found in _ROW.finditer(PAGE.read_text().replace("\\|", "¦"))}
    return {name: _LINK.sub(r"\1", told).replace("`", "").replace("¦", "|") for name, told in rows.items()}


def rendered() -> str:
    """The file."""
    return json.dumps(meanings(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__" and "--write" in sys.argv:
    KEPT.write_text(rendered())
