"""A child's side: its event loop says that it comes round."""

import asyncio
import contextlib
import faulthandler
import os
import signal
from collections.abc import Coroutine
from typing import Any

BEAT_S = 1.0
TELL = signal.SIGUSR2  # has a process say on standard error what each of its threads does


def tell_when_asked() -> None:
    """Before a process that hangs is replaced it is asked where: nobody could find out afterwards."""
    faulthandler.register(TELL, all_threads=True, chain=False)


async def beating(writing: int, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, and say all the while that the loop comes round. Below 0: there is nobody to be told."""
    telling = asyncio.create_task(_beat(writing)) if writing >= 0 else None
    try:
        await work
    finally:
        if telling is not None:
            telling.cancel()


async def _beat(writing: int) -> None:
    """What a full pipe does not take was said often enough, and a supervisor that is gone is noticed elsewhere."""
    os.set_blocking(writing, False)
    while True:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(writing, b".")
        await asyncio.sleep(BEAT_S)
