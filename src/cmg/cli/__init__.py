"""`cmg …`: the commands of an operator. They parse words, call a use case and print what it gives.

Nothing is decided here. Every command takes `--json`. Exit codes: 0 good, 1 the answer is no, 2 a wrong word or
setting; one that a signal ended has 128 more than its number.
"""

import gc
import signal
import sys

from cmg.cli.commands import INTERRUPTED, run

_ENDING = (signal.SIGTERM, signal.SIGHUP)  # a timer's deadline, a terminal that closes


def main() -> None:
    """The entry point of `cmg` and of `python -m cmg`."""
    told: list[int] = []
    _as_interrupted(told)
    code = run(sys.argv[1:])
    if code == INTERRUPTED and told:
        code = 128 + told[-1]
    gc.freeze()  # else Python's end looks through all that was loaded once more: half a second of every command
    sys.exit(code)


def _as_interrupted(told: list[int]) -> None:
    """These signals end a command as Ctrl-C does, with its clean-up: else a database that it started would run on."""

    def end(number: int, _frame: object) -> None:
        told.append(number)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started behind a shell's `&`
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # not where `nohup` has it ignored
            signal.signal(number, end)
