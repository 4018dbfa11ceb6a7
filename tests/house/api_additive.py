"""The HTTP API only grows: `docs/api/openapi.json` is what clients were promised.

    python tests/house/api_additive.py            # compare, exit 1 when they differ
    python tests/house/api_additive.py --write    # take additions over (refuses what breaks a client)

A break needs a new major version: `--write --next-major` takes it over.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROMISED = ROOT / "docs" / "api" / "openapi.json"

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))

from house.openapi_changes import Comparison  # noqa: E402  the path is set just above, when run as a script


def present() -> dict[str, Any]:
    """The document that the code serves now: control plane and data plane."""
    from cmg.app.control_plane import build_for_docs

    document: dict[str, Any] = json.loads(json.dumps(build_for_docs().openapi()))
    return document


def promised() -> dict[str, Any]:
    """The document that clients were promised."""
    document: dict[str, Any] = json.loads(PROMISED.read_text())
    return document


def rendered(document: dict[str, Any]) -> str:
    """The document as the file holds it: sorted, so that a difference shows what changed."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """0: the same; 1: they differ, and the output says what to do."""
    now = present()
    before = promised() if PROMISED.exists() else {}
    breaking = Comparison(before, now).run()
    if breaking and "--next-major" not in arguments:
        print("This breaks clients; bring back what they use, or make a new major version:")
        print("\n".join(f"  {line}" for line in breaking))
        return 1
    if "--write" in arguments:
        PROMISED.write_text(rendered(now))
        print(f"{PROMISED.relative_to(ROOT)} written")
    elif rendered(now) != rendered(before):
        print("The API has grown; run `make api` and commit docs/api/openapi.json")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
