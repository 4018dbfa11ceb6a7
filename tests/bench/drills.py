"""Every drill as one command on one real service with the catalogue's own rules: `python tests/bench/drills.py`.

The service is as old first as its rules look back. Nobody is called. It takes about an hour and a half.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.fake_receivers import channels_at, receiving
from support.service import CMG, Service, ServiceOptions

_LOOK_BACK_S = 900.0
_LONGEST_S = 3 * 3600.0


def people(service: Service, url: str) -> None:
    """Ada, then Bob after a quarter of an hour, by SMS and call, mail being nowhere."""
    channels = channels_at(url)
    contacts = {
        who: [{"channel": kind, "address": f"+1555000{number}"} for kind in ("sms", "voice")]
        for number, who in enumerate(("ada", "bob"))
    }
    steps = [{"after_minutes": minutes, "targets": [{"responder": who}]} for minutes, who in ((0, "ada"), (15, "bob"))]
    documents = {
        **{f"notification-channels/{kind}": channels[kind] for kind in ("sms", "voice")},
        **{f"responders/{who}": {"name": who.title(), "contacts": one} for who, one in contacts.items()},
        "escalation-policies/default": {"name": "All", "steps": steps},
    }
    for path, body in documents.items():
        status, answer = service.call("PUT", f"/admin/v1/{path}", body)
        if status != 200:
            raise SystemExit(f"{path}: {answer}")


async def main() -> int:
    """The drills' own answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="these drills only")
    parser.add_argument("--age", type=float, default=_LOOK_BACK_S, help="how old the service is first, in seconds")
    asked = parser.parse_args()
    options = ServiceOptions(toml="[drills]\nenabled = true\n", workers=1)
    async with receiving() as receivers:
        with Service(options) as service:
            begun = time.monotonic()
            await asyncio.to_thread(people, service, receivers.url)
            await asyncio.sleep(max(0.0, asked.age - (time.monotonic() - begun)))
            words = [str(CMG), "drill", *(asked.names or ["--all"])]
            environ = {**service._environ(), "PATH": os.environ["PATH"]}
            ran = await asyncio.to_thread(
                subprocess.run, words, env=environ, timeout=_LONGEST_S, check=False, cwd=service.data_dir
            )
            _, incidents = await asyncio.to_thread(service.call, "GET", "/admin/v1/incidents")
            print(f"people called: {len(receivers.got)}; incidents: {[one['title'] for one in incidents['items']]}")
            print(f"took {(time.monotonic() - begun) / 60:.0f} minutes")
    return ran.returncode


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
