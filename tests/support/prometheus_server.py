"""A real Prometheus on loopback that serves the samples of an OpenMetrics text, and the asking of it."""

import json
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from support.processes import wait_until
from support.service import free_port

START_S = 60.0


class PrometheusServer:
    """Started on blocks that promtool made of `text`; it scrapes nothing."""

    def __init__(self, text: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cmg-prometheus-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{free_port()}"
        (self._folder / "samples.txt").write_text(text)
        (self._folder / "prometheus.yml").write_text("global: {}\n")

    def __enter__(self) -> Self:
        data = self._folder / "data"
        self._make_blocks()
        command = [
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--log.level=error",
        ]
        log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._ready, START_S, "Prometheus is ready")
        return self

    def _make_blocks(self) -> None:
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics",
             self._folder / "samples.txt", self._folder / "data"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip

    def stop(self) -> None:
        """Stop it; nobody answers any more."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        self._process = None

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ready(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).status == 200)
        except OSError:
            return False

    def ask(self, path: str, **parameters: object) -> dict[str, Any]:
        """The JSON that it answers, whatever its status."""
        return ask(self.url, path, parameters)


def ask(url: str, path: str, parameters: dict[str, object], key: str | None = None) -> dict[str, Any]:
    """POST a form to a Prometheus API and read the JSON of its answer; of an error with its `http_status`."""
    told = {name: value for name, value in parameters.items() if value is not None}
    request = urllib.request.Request(f"{url}{path}", urllib.parse.urlencode(told, doseq=True).encode())
    if key is not None:
        request.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return {**json.load(error), "http_status": error.code}


class ScrapingPrometheus(PrometheusServer):
    """A real Prometheus that scrapes a service every second and evaluates rule files, however long their intervals."""

    def __init__(self, target: str, key: str, rules: dict[str, str]) -> None:
        super().__init__("# EOF\n")
        scrape = {
            "job_name": "cmg",
            "static_configs": [{"targets": [target.removeprefix("http://")]}],
            "authorization": {"credentials": key},
        }
        told = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["*.rules.yml"],
            "scrape_configs": [scrape],
        }
        (self._folder / "prometheus.yml").write_text(json.dumps(told))
        for name, text in rules.items():
            quick = re.sub(r"^( +interval:) \w+$", r"\1 1s", text, flags=re.MULTILINE)
            (self._folder / f"{name}.rules.yml").write_text(quick)

    def _make_blocks(self) -> None:
        """There are no samples of before."""

    def rules(self) -> list[dict[str, Any]]:
        """How each rule stands: `name`, `health` (unknown, ok, err), `lastError`."""
        with urllib.request.urlopen(f"{self.url}/api/v1/rules", timeout=10) as answer:
            return [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
