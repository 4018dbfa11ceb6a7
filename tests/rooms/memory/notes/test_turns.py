"""Of those that wait for a place the newest goes first, and no place is lost when somebody gives up."""

import asyncio

import pytest

from cmg.memory.notes.turns import NewestFirst


class Work:
    """Workers that hold a place until they may leave it."""

    def __init__(self, at_once: int) -> None:
        self.turns, self.begun, self.leave = NewestFirst(at_once), list[int](), asyncio.Event()

    async def one(self, number: int) -> None:
        async with self.turns:
            self.begun.append(number)
            await self.leave.wait()

    async def started(self, *numbers: int) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.one(number)) for number in numbers]
        await asyncio.sleep(0)
        return tasks


async def test_the_newest_that_waits_goes_first() -> None:
    work = Work(2)
    tasks = await work.started(1, 2, 3, 4, 5)
    assert work.begun == [1, 2]
    work.leave.set()
    await asyncio.gather(*tasks)
    assert sorted(work.begun[2:4]) == [4, 5]
    assert work.begun[-1] == 3


async def test_who_gives_up_leaves_the_line_and_takes_no_place() -> None:
    work = Work(1)
    first, second, third = await work.started(1, 2, 3)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    work.leave.set()
    await asyncio.gather(first, second)
    assert work.begun == [1, 2]
    (again,) = await work.started(4)
    await again
    assert work.begun == [1, 2, 4]


async def test_a_place_that_is_given_to_somebody_who_leaves_goes_to_the_next() -> None:
    work = Work(1)
    first, second, third = await work.started(1, 2, 3)
    work.leave.set()
    first.cancel()
    await asyncio.sleep(0)  # it leaves its place to the third, which has not woken up yet
    third.cancel()
    await asyncio.wait([first, second, third])
    assert (work.begun, second.exception(), third.cancelled()) == ([1, 2], None, True)
    (again,) = await work.started(4)
    await again
    assert work.begun[-1] == 4


async def test_who_gives_up_while_a_place_comes_free_is_passed_over_and_no_error() -> None:
    work = Work(1)
    first, second, third = await work.started(1, 2, 3)
    first.cancel()  # its place comes free in the next moment
    third.cancel()  # and the third hears only after that
    work.leave.set()
    await asyncio.wait([first, second, third])
    assert (work.begun, second.exception(), third.cancelled()) == ([1, 2], None, True)


async def test_an_error_gives_the_place_back() -> None:
    turns = NewestFirst(1)
    with pytest.raises(ValueError, match="broken"):
        async with turns:
            raise ValueError("broken")
    async with turns:
        pass
