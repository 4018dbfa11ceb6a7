"""Time series from outside: import, Prometheus' API and tools, a killed process, a real Prometheus behind it."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from support.metric_world import END_S, START_S, openmetrics
from support.processes import command_line, descendants, kill, wait_until
from support.prometheus_server import PrometheusServer, ask
from support.service import CMG, WITHOUT_EMBEDDER, Service, ServiceOptions

QUERY, RANGE = "/api/v1/query", "/api/v1/query_range"


def command(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `cmg` on the service's data."""
    environ = {**os.environ, "CMG_DATA_DIR": str(service.data_dir)}
    return subprocess.run([str(CMG), *words], env=environ, capture_output=True, text=True, timeout=120, check=False)


def value(service: Service, expression: str, **parameters: object) -> list[Any]:
    """The values of an instant query, as text."""
    answer = ask(service.url, QUERY, {"query": expression, **parameters}, service.key)
    assert answer["status"] == "success", answer
    return [one["value"][1] for one in answer["data"]["result"]]


@pytest.fixture(scope="module", autouse=True)
def world(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The world of metrics, imported while the service runs."""
    file = tmp_path_factory.mktemp("world") / "world.om"
    file.write_text(openmetrics())
    done = command(service, "timeseries", "import", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["samples"] > 50_000


def test_imported_samples_answer_at_once(service: Service):
    assert value(service, "count(requests_total)", time=START_S + 600) == ["27"]
    asked = {"query": "sum by (job) (rate(requests_total[5m]))", "start": START_S + 600, "end": END_S, "step": "1m"}
    answer = ask(service.url, RANGE, asked, service.key)
    assert [one["metric"] for one in answer["data"]["result"]] == [{"job": "api"}, {"job": "batch"}, {"job": "web"}]
    assert len(answer["data"]["result"][0]["values"]) == (END_S - START_S - 600) // 60 + 1


def test_an_import_that_is_none_names_the_line(service: Service, tmp_path: Path):
    (tmp_path / "bad.om").write_text("a 1 1\nb x 2\n# EOF\n")
    done = command(service, "timeseries", "import", str(tmp_path / "bad.om"))
    assert done.returncode == 2
    assert "line 2: 'x' is no value" in done.stderr


def test_service_scrapes_itself(service: Service):
    wait_until(lambda: value(service, 'up{job="cmg"}') == ["1"], 60, "the service scraped itself")
    wait_until(
        lambda: value(service, 'rate(cmg_timeseries_scrapes_total{outcome="good"}[1m]) > 0'), 60, "a rate of itself"
    )
    assert value(service, "count(cmg_http_requests_total) > 0")


@pytest.mark.parametrize(
    ("path", "parameters", "status", "kind"),
    [
        (QUERY, {"query": "foo{"}, 400, "bad_data"),
        (QUERY, {}, 400, "bad_data"),
        (QUERY, {"query": "1", "time": "x"}, 400, "bad_data"),
        (QUERY, {"query": "requests_total / on (job) requests_total", "time": START_S + 600}, 422, "execution"),
        (RANGE, {"query": "1", "start": 0, "end": 11001, "step": 1}, 400, "bad_data"),
        ("/api/v1/series", {}, 400, "bad_data"),
        ("/api/v1/series", {"match[]": "1"}, 400, "bad_data"),
    ],
)
def test_errors_have_prometheus_shape(service: Service, path: str, parameters: dict, status: int, kind: str):
    answer = ask(service.url, path, parameters, service.key)
    assert (answer["status"], answer["errorType"]) == ("error", kind)
    assert answer["http_status"] == status


def test_series_and_labels_are_listed(service: Service):
    found = ask(service.url, "/api/v1/series", {"match[]": ['quota{job="api"}', "build_info"]}, service.key)["data"]
    assert {one["__name__"] for one in found} == {"quota", "build_info"}
    assert "room" in ask(service.url, "/api/v1/labels", {}, service.key)["data"]
    assert ask(service.url, "/api/v1/labels", {"match[]": "quota"}, service.key)["data"] == ["__name__", "job"]


def test_what_grafana_asks_beside_queries(service: Service):
    rooms = got(service, "label/room/values?match[]=%7Bfloor%3D%220%22%7D")["data"]
    assert rooms == ["hall", "kitchen", "lab", "office"]
    groups = got(service, "rules")["data"]["groups"]
    assert {"alerting", "recording"} == {rule["type"] for group in groups for rule in group["rules"]}
    assert isinstance(got(service, "alerts")["data"]["alerts"], list)


def test_metadata_tells_types_and_help(service: Service):
    wait_until(lambda: got(service, "metadata?metric=cmg_timeseries_series")["data"], 60, "a scrape brought metadata")
    told = got(service, "metadata?metric=cmg_timeseries_series")["data"]["cmg_timeseries_series"]
    assert told[0]["type"] == "gauge"
    assert got(service, "status/buildinfo")["data"]["version"].startswith("3.")


def got(service: Service, path: str) -> dict[str, Any]:
    """The JSON of a GET."""
    request = urllib.request.Request(f"{service.url}/api/v1/{path}", headers={"authorization": f"Bearer {service.key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def test_a_key_without_the_scope_is_refused(service: Service):
    assert ask(service.url, QUERY, {"query": "1"}, "cmg_nobody_00")["error"]["code"] == "invalid_api_key"


@pytest.mark.needs("promtool")
def test_promtool_can_point_here(service: Service):
    url = service.url.replace("://", f"://promtool:{service.key}@")
    words = ["promtool", "query", "instant", f"--time={START_S + 600}", url, "count(requests_total)"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split("@")[0].strip()) == (0, "{} => 27"), done.stderr


def test_killed_backstage_loses_at_most_one_scrape(service: Service):
    wait_until(lambda: value(service, 'count_over_time(up{job="cmg"}[5m]) > 3'), 60, "some scrapes")
    before = int(value(service, 'count_over_time(up{job="cmg"}[5m])')[0])
    assert service.process is not None
    backstage = next(pid for pid in descendants(service.process.pid) if "backstage" in command_line(pid))
    kill(backstage)
    wait_until(lambda: answered(service), 60, "backstage is there again")
    assert int(value(service, 'count_over_time(up{job="cmg"}[10m])')[0]) >= before - 1


def answered(service: Service) -> bool:
    answer = ask(service.url, QUERY, {"query": "1"}, service.key)
    return bool(answer.get("status") == "success")


@pytest.mark.needs("prometheus", "promtool")
def test_a_real_prometheus_behind_it_answers_instead():
    with PrometheusServer("# TYPE m gauge\nm 7 1700000000\n# EOF\n") as server, behind(server) as one:
        assert value(one, "m", time=1_700_000_001) == ["7"]
        assert got(one, "label/__name__/values")["data"] == ["m"]
        wrong = ask(one.url, QUERY, {"query": "foo{"}, one.key)
        assert (wrong["errorType"], wrong["http_status"]) == ("bad_data", 400)
        server.stop()
        away = ask(one.url, QUERY, {"query": "m"}, one.key)
        assert (away["errorType"], away["http_status"]) == ("unavailable", 503)


def behind(server: PrometheusServer) -> Service:
    """A service that passes Prometheus' API on to a real one."""
    return Service(ServiceOptions(WITHOUT_EMBEDDER, environ={"CMG_PROMETHEUS_URL": server.url}))
