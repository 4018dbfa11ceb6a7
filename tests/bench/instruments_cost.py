"""What metrics, traces and log lines cost of a call's CPU: the same gateway with them and without, loaded in turns.

    python tests/bench/instruments_cost.py [--rounds 6] [--seconds 3]

Each has one worker on core 0; the load and everything else is on core 1. CPU is that of the gateway process alone. A
round loads one side and then the other; the share is the median over the rounds of what the instrumented one
needs more. Without instruments the moments are still taken: what is left away is what is done with them. Needs `wrk`.
"""

import argparse
import contextlib
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from run import EVERYTHING  # noqa: E402
from sides import GATEWAY_CORE, LOAD_CORE, Side, mock_upstream, pin, preferred, streams, wrk  # noqa: E402

from support.processes import descendants  # noqa: E402
from support.service import Service, ServiceOptions, upstream_toml  # noqa: E402

_OFF = 'log_level = "critical"\n'
_OFF_TABLES = "\n[traces]\nenabled = false\n"
_MOST = 0.15  # of the call's CPU


@contextlib.contextmanager
def _side(name: str, upstream: int, *, bare: bool) -> Iterator[Side]:
    toml = upstream_toml("bench", f"http://127.0.0.1:{upstream}/v1", '["bench"]')
    environ = {"PYTHONPATH": str(HERE / "bare")} if bare else {}
    toml = f"{_OFF}{toml}{_OFF_TABLES}" if bare else toml
    with Service(ServiceOptions(toml=toml, workers=1, environ=environ)) as service:
        assert service.process is not None
        (worker,) = service.pids("gateway")
        for root in (service.process.pid, service.postmaster()):
            for pid in (root, *descendants(root)):
                pin(pid, LOAD_CORE)
        pin(worker, GATEWAY_CORE)
        key = service.new_key(memory="off", **EVERYTHING)
        wrk(side := Side(name, service.url, key, pid=worker), 32, 2)
        _check(service, bare=bare)
        yield side


def _check(service: Service, *, bare: bool) -> None:
    """The bare one counts no calls, the other does; else the figures would say nothing."""
    _, text = service.call("GET", "/metrics")
    counted = any(line.startswith("cmg_llm_calls_total{") for line in str(text).splitlines())
    if counted is bare:
        raise SystemExit(
            f"the service {'counts' if counted else 'does not count'} its calls: this is not what is measured"
        )


def main() -> None:
    """Measure and print; exit code 1: the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    shares: dict[str, list[float]] = {"calls": [], "streams": []}
    figures: dict[str, list[float]] = {}
    with (
        preferred(),
        mock_upstream() as upstream,
        _side("on", upstream, bare=False) as on,
        _side("off", upstream, bare=True) as off,
    ):
        for number in range(arguments.rounds):
            for kind, share in shares.items():
                told = {}
                for side in (on, off) if number % 2 else (off, on):
                    done = wrk(side, 32, arguments.seconds) if kind == "calls" else streams(side, 8, 400)
                    told[side.name] = done["cpu_us"]
                    figures.setdefault(f"{kind} {side.name}", []).append(done["cpu_us"])
                share.append(1 - told["off"] / told["on"])
                print(f"round {number + 1}, {kind}: {share[-1]:.3f}", flush=True)
    print("\n| | CPU µs with | without | share |\n| --- | --- | --- | --- |")
    for kind, found in shares.items():
        with_, without = (statistics.median(figures[f"{kind} {name}"]) for name in ("on", "off"))
        print(f"| {kind} | {with_:.0f} | {without:.0f} | {statistics.median(found):.1%} |")
    raise SystemExit(any(statistics.median(found) > _MOST for found in shares.values()))


if __name__ == "__main__":
    main()
