"""`cmg …`: the commands of an operator. They parse words, call a use case and print what it gives.

Nothing is decided here. Every command takes `--json`. Exit codes: 0 good, 1 the answer is no, 2 a wrong word or
setting.
"""

import sys

from cmg.cli.commands import run


def main() -> None:
    """The entry point of `cmg` and of `python -m cmg`."""
    sys.exit(run(sys.argv[1:]))
