"""Tries a few failed tests once more, one after the other, and says loudly which of them passed only then.

The suite runs real servers under real deadlines, several tests side by side; on a machine that is busy with something
else one may be missed. A test that fails twice fails the suite; one that passes alone is printed as unsteady, to be
mended. More than a few failures are no bad luck, and get no second try.

    python tests/second_try.py PYTEST-OPTIONS…
"""

import json
import subprocess
import sys
from pathlib import Path

FEW = 8
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main(options: list[str]) -> int:
    """Returns pytest's exit code, 1 when too many failed."""
    failed = sorted(json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else []
    if not 0 < len(failed) <= FEW:
        print(f"{len(failed)} tests failed: no second try", file=sys.stderr)
        return 1
    print(f"second try of {len(failed)}, alone …", flush=True)
    code = subprocess.run([sys.executable, "-m", "pytest", "-q", *options, *failed], check=False).returncode
    if code == 0:
        print("UNSTEADY, failed at first and passed alone:", *failed, sep="\n  ", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
