"""`cmg …`: the commands of an operator. They parse words, call a use case and print what it gives.

Nothing is decided here. Every command takes `--json`. Exit codes: 0 good, 1 the answer is no, 2 a wrong word or
setting.
"""

import gc
import sys

from cmg.cli.commands import run


def main() -> None:
    """The entry point of `cmg` and of `python -m cmg`."""
    code = run(sys.argv[1:])
    gc.freeze()  # else Python's end looks through all that was loaded once more: half a second of every command
    sys.exit(code)
