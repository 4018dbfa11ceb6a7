"""schemathesis reads the control plane's own OpenAPI and finds no call that ends in a 500."""

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from support.service import WITHOUT_EMBEDDER, Service, ServiceOptions, upstream_toml

EXAMPLES = 8
ENDLESS = "/admin/v1/logs/tail"  # goes on until its caller leaves; tests of logs read it


@pytest.fixture(scope="module")
def own(upstream) -> Service:
    """A service of its own: generated calls may suspend, revoke or rename what others use, or be slow with it."""
    with Service(ServiceOptions(toml=upstream_toml("faulty", upstream.url) + WITHOUT_EMBEDDER)) as running:
        yield running


def test_no_generated_call_ends_in_a_server_error(own: Service) -> None:
    import schemathesis  # for this test alone: half a second of every process that collects tests

    status, document = own.call("GET", "/openapi.json")
    assert status == 200
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=own.url)
    operations = [result.ok() for result in schema.exclude(path=ENDLESS).get_all_operations()]
    assert len(operations) >= 10
    failures: list[str] = []
    for operation in operations:
        _try(operation, own, failures)
    assert not failures, "\n".join(failures)
    assert own.get_status("/readyz") == 200


def _try(operation, own: Service, failures: list[str]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def one(case) -> None:
        answer = case.call(headers={"authorization": f"Bearer {own.key}"}, timeout=20)
        if answer.status_code >= 500 and answer.status_code != 503:
            failures.append(
                f"{answer.status_code} {case.method} {case.formatted_path}: {case.body!r} {answer.text[:300]}"
            )

    one()


def test_every_operation_is_described(own: Service) -> None:
    _, document = own.call("GET", "/openapi.json")
    bare = [
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not (operation.get("summary") or operation.get("description"))
    ]
    assert not bare, json.dumps(bare)


def test_the_docs_page_loads_nothing_from_elsewhere(own: Service) -> None:
    status, page = own.call("GET", "/docs")
    assert status == 200
    assert "https://" not in page, "the page must work without the internet"
