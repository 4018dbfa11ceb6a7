"""What the gateway costs per call, beside nginx as a plain reverse proxy in the same run.

    python tests/bench/run.py [--quick] [--no-memory] [--one-core] [--profile FILE] [--json FILE]

The gateway's one worker and nginx's one worker are pinned to core 0 and loaded in turns; the load and the mock upstream
are on core 1. PostgreSQL and the service's other processes are where there is room, as with anybody; with `--one-core`
they have core 1 alone, which they then share with the load. All go before other work of the machine where that is
allowed. CPU is that of the gateway process (or nginx's worker) alone, from the scheduler's nanosecond counters; that of
the process which makes the notes stands beside it. Figures are medians over the rounds. Needs `wrk`, `nginx` and two
cores; some 10 minutes.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from seed import read, seed, vocabulary, write_words  # noqa: E402
from sides import GATEWAY_CORE, LOAD_CORE, Side, mock_upstream, nginx, pin, preferred, rss_mib, streams, wrk  # noqa: E402

from support.processes import descendants, wait_until  # noqa: E402
from support.service import Service, ServiceOptions, upstream_toml  # noqa: E402

EVERYTHING = {
    "limits": {"rpm": 1_000_000, "tpm": 1_000_000_000, "concurrency": 10_000},
    "budget": {"period": "month", "usd": 1_000_000},
}
_SETTLED_S = 300.0
COLUMNS = ("cpu_us", "c1_ms", "rps", "stream_cpu_us", "slow_ttfb_ms", "slow_cpu_us", "notes_us")
HEADS = (
    "CPU µs/call",
    "x nginx",
    "c1 p50 ms",
    "added ms",
    "calls/s",
    "CPU µs/stream",
    "x nginx",
    "ttfb p50 ms",
    "added ms",
    "CPU µs/slow stream",
)


def one_round(side: Side, seconds: int) -> dict[str, float]:
    """One round on one side: single calls, busy calls, streams in one burst, 200 slow streams.

    Single calls come first: what busy ones leave behind (turns on their way into the database) would be in their way.
    """
    single, _, busy = wrk(side, 1, max(2, seconds - 1)), wrk(side, 32, 1), wrk(side, 32, seconds)
    fast, slow = streams(side, 8, 400), streams(side, 200, 1000, slow=True)
    return {
        "cpu_us": busy["cpu_us"],
        "notes_us": busy["notes_us"],
        "rps": busy["rps"],
        "c1_ms": single["p50_ms"],
        "stream_cpu_us": fast["cpu_us"],
        "slow_ttfb_ms": slow["ttfb_p50_ms"],
        "slow_cpu_us": slow["cpu_us"],
        "errors": busy["errors"] + single["errors"] + fast["errors"] + slow["errors"],
        "calls": busy["calls"] + single["calls"],
    }


def medians(side: Side) -> dict[str, float]:
    """Median of each figure over the rounds; errors are added up."""
    found = {name: statistics.median(r[name] for r in side.rounds) for name in COLUMNS}
    return {**found, "errors": sum(r["errors"] for r in side.rounds)}


def row(side: Side, base: dict[str, float], bare: dict[str, float]) -> str:
    """One line of the table: `base` is nginx, `bare` the mock without anything between."""
    got = medians(side)
    ratio = [
        got[name] / base[name] if base[name] and got[name] else float("nan") for name in ("cpu_us", "stream_cpu_us")
    ]
    cells = (
        f"{got['cpu_us']:.0f}", f"{ratio[0]:.1f}", f"{got['c1_ms']:.3f}", f"{got['c1_ms'] - bare['c1_ms']:.3f}",
        f"{got['rps']:.0f}", f"{got['stream_cpu_us']:.0f}", f"{ratio[1]:.1f}", f"{got['slow_ttfb_ms']:.2f}",
        f"{got['slow_ttfb_ms'] - bare['slow_ttfb_ms']:.2f}", f"{got['slow_cpu_us']:.0f}", f"{got['errors']:.0f}",
    )  # fmt: skip
    return f"| {side.name} | " + " | ".join(cells) + " |"


def bars(sides: dict[str, Side], growth: float) -> list[tuple[str, float, float]]:
    """(what, measured, allowed) of every bar of the plan that this run measured."""
    got = {name: medians(side) for name, side in sides.items()}
    base, bare, plain = got["nginx"], got["direct"], got["cmg"]
    found = [
        ("CPU per call, x nginx", plain["cpu_us"] / base["cpu_us"], 18.0),
        ("CPU per 50-chunk stream, x nginx", plain["stream_cpu_us"] / base["stream_cpu_us"], 5.0),
        ("c1 p50 added, ms", plain["c1_ms"] - bare["c1_ms"], 1.0),
        ("200 slow streams, ttfb p50 added, ms", plain["slow_ttfb_ms"] - bare["slow_ttfb_ms"], 10.0),
        ("errors", sum(figures["errors"] for figures in got.values()), 0.0),
        ("resident memory, 50,000 calls / 5,000", growth, 1.2),
    ]
    if "cmg, memory" in got:
        memory = got["cmg, memory"]
        found.append(("with memory: CPU per call, x nginx", memory["cpu_us"] / base["cpu_us"], 40.0))
        found.append(("with memory: c1 p50 added, ms", memory["c1_ms"] - bare["c1_ms"], 5.0))
    return found


@contextlib.contextmanager
def gateway(fast: int, slow: int, embedder: str, *others: int) -> Iterator[tuple[Service, int]]:
    """One service with one worker, pinned; gives it and the gateway's process id. `others`: cores of its others."""
    toml = upstream_toml("bench", f"http://127.0.0.1:{fast}/v1", '["bench"]')
    toml += upstream_toml("slow", f"http://127.0.0.1:{slow}/v1", '["slow"]')
    toml += f'\n[memory]\nembedder = "{embedder}"\n'
    with Service(ServiceOptions(toml=toml, workers=1)) as service:
        assert service.process is not None
        (worker,) = service.pids("gateway")
        for pid in (service.process.pid, *descendants(service.process.pid)):
            pin(pid, *others)
        for pid in (service.postmaster(), *descendants(service.postmaster())):
            pin(pid, *others)
        pin(worker, GATEWAY_CORE)
        yield service, worker


def settled(service: Service, turns: int) -> float:
    """Wait until the seeded turns are stored and count them as read for facts, as made-up words hold none; the seconds.

    Else minutes of reading would be done beside the measuring.
    """
    started = time.monotonic()
    wait_until(lambda: asyncio.run(read(service.database_url(), turns)), _SETTLED_S, "the seeded turns are stored")
    return time.monotonic() - started


def recalls(service: Service) -> dict[str, int]:
    """Calls by the status of their recall: a call whose note is not made in time goes on without one."""
    _, text = service.call("GET", "/metrics")
    lines = (line for line in str(text).splitlines() if line.startswith("cmg_memory_recall_total{"))
    return {line.split('"')[1]: int(float(line.rsplit(" ", 1)[1])) for line in lines}


def memory_growth(side: Side, calls: int) -> tuple[float, float]:
    """Resident MiB after a tenth of `calls` and after all of them."""
    assert side.pid is not None
    done, early = 0.0, 0.0
    while done < calls:
        result = wrk(side, 32, 1 if done < calls / 10 else 4)
        done += result["calls"]
        if not early and done >= calls / 10:
            early = rss_mib(side.pid)
    return early, rss_mib(side.pid)


def run(arguments: argparse.Namespace) -> int:
    """Measure everything, print the table and the bars; returns the exit code (1: a bar is missed)."""
    seconds, rounds = (2, 1) if arguments.quick else (3, 3)
    users, turns = (100, 100) if arguments.quick else (1000, 1000)
    with contextlib.ExitStack() as stack:
        stack.enter_context(preferred())
        fast, slow = stack.enter_context(mock_upstream()), stack.enter_context(mock_upstream(10))
        proxy = stack.enter_context(nginx(fast, slow))
        others = (LOAD_CORE,) if arguments.one_core else (GATEWAY_CORE, LOAD_CORE)
        service, worker = stack.enter_context(gateway(fast, slow, arguments.embedder, *others))
        direct = Side("direct", f"http://127.0.0.1:{fast}", slow_url=f"http://127.0.0.1:{slow}")
        key = service.new_key(memory="off", **EVERYTHING)
        plain = Side("cmg", service.url, key, pid=worker, slow_url=service.url, slow_model="slow")
        sides = {side.name: side for side in (direct, proxy, plain)}
        if not arguments.no_memory:
            remembering = service.new_key(memory="on", **EVERYTHING)
            took = asyncio.run(seed(service, remembering, users, turns))
            print(f"seeded {users * turns} turns of {users} users in {took:.0f} s", flush=True)
            print(f"stored after {settled(service, users * turns):.0f} s more", flush=True)
            words = write_words(service.data_dir.with_suffix(".words"), vocabulary())
            memory = Side("cmg, memory", service.url, remembering, pid=worker, users=users, words=words)
            (memory.notes_pid,) = service.pids("notes")
            memory.slow_url, memory.slow_model = service.url, "slow"
            sides[memory.name] = memory
        code = measure(sides, arguments, seconds, rounds)
        print(f"calls with memory, by what became of the recall: {recalls(service)}")
        return code


def measure(sides: dict[str, Side], arguments: argparse.Namespace, seconds: int, rounds: int) -> int:
    """Load the sides in turns and report."""
    for number in range(rounds):
        for side in sides.values():
            side.rounds.append(one_round(side, seconds))
            print(f"round {number + 1} {side.name}: {side.rounds[-1]}", flush=True)
    loaded = sides.get("cmg, memory", sides["cmg"])
    if arguments.profile:
        profile(loaded, arguments.profile)
    early, late = memory_growth(loaded, 5000 if arguments.quick else 50_000)
    bare, base = medians(sides["direct"]), medians(sides["nginx"])
    print("\n| | " + " | ".join((*HEADS, "errors")) + " |\n|" + " --- |" * (len(HEADS) + 2))
    for side in sides.values():
        print(row(side, base, bare))
    if "cmg, memory" in sides:
        same_rate(sides, seconds)
    print(f"\nthe process that makes the notes: {medians(loaded)['notes_us']:.0f} CPU µs a call ({loaded.name})")
    print(f"resident memory {early:.1f} MiB after a tenth of the calls, {late:.1f} MiB after all ({loaded.name})\n")
    found = bars(sides, late / early)
    for what, measured, allowed in found:
        print(f"{'held  ' if measured <= allowed else 'MISSED'} {what}: {measured:.2f} (at most {allowed:g})")
    if arguments.json:
        figures = {name: medians(side) for name, side in sides.items()}
        Path(arguments.json).write_text(json.dumps({"sides": figures, "bars": found}, indent=1))
    return 0 if all(measured <= allowed for _, measured, allowed in found) else 1


def same_rate(sides: dict[str, Side], seconds: int) -> None:
    """Print what calls with memory cost beside others at their rate: a process that sleeps between calls pays more.

    Calls with memory come one by one, at the rate at which notes are made; the others are as many, on one connection.
    """
    rate = medians(sides["cmg, memory"])["rps"]
    used = {name: wrk(sides[name], 1, seconds, max(1, round(1000 / rate)))["cpu_us"] for name in ("nginx", "cmg")}
    memory = medians(sides["cmg, memory"])["cpu_us"]
    ratio = memory / used["nginx"]
    others = ", ".join(f"{name} {cost:.0f}" for name, cost in used.items())
    print(f"\nat {rate:.0f} calls a second, CPU µs a call: {others}, with memory {memory:.0f}: {ratio:.1f} x nginx")


def profile(side: Side, path: str) -> None:
    """A py-spy profile of the gateway under the plain load, in raw (collapsed stack) form."""
    spy = str(Path(sys.executable).with_name("py-spy"))
    command = [spy, "record", "-p", str(side.pid), "-d", "6", "-r", "200", "-f", "raw", "-o", path]
    recording = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wrk(side, 32, 7)
    recording.wait(30)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round on a small memory")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory row out")
    parser.add_argument("--one-core", action="store_true", help="the service's other processes share the load's core")
    parser.add_argument(
        "--embedder",
        default="none",
        help="of the memory (none: the seeded turns would be embedded beside the measuring)",
    )
    parser.add_argument("--profile", help="write a py-spy profile here")
    parser.add_argument("--json", help="write the figures here")
    started = time.monotonic()
    code = run(parser.parse_args())
    print(f"took {time.monotonic() - started:.0f} s")
    sys.exit(code)


if __name__ == "__main__":
    main()
