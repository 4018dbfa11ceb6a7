"""The check on the API's compatibility, and the check's own cases."""

import copy
from typing import Any

import pytest

from house.api_additive import PROMISED, present, promised, rendered
from house.openapi_changes import Comparison

KEY: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 100},
        "memory": {"type": "string", "enum": ["on", "off"]},
        "budget": {"anyOf": [{"$ref": "#/components/schemas/Budget"}, {"type": "null"}]},
    },
}
DOCUMENT: dict[str, Any] = {
    "paths": {
        "/admin/v1/keys": {
            "post": {
                "parameters": [{"in": "query", "name": "limit", "schema": {"type": "integer"}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Key"}}}},
                "responses": {
                    "201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Key"}}}}
                },
            }
        }
    },
    "components": {"schemas": {"Key": KEY, "Budget": {"type": "object", "properties": {"usd": {"type": "number"}}}}},
}
POST = ("paths", "/admin/v1/keys", "post")
FIELDS = ("components", "schemas", "Key", "properties")


def _changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The document with the value at a path replaced; `...` removes it."""
    new = copy.deepcopy(DOCUMENT)
    place: Any = new
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return new


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (POST, ..., "is gone"),
        ((*POST, "parameters"), [], "limit is gone"),
        ((*POST, "parameters"), [{"in": "query", "name": "limit", "schema": {"type": "string"}}], "was integer"),
        ((*POST, "responses"), {"200": {}}, "the answer 201 is gone"),
        ((*FIELDS, "memory"), ..., ".memory is gone"),
        ((*FIELDS, "memory"), {"type": "boolean"}, "was string, is boolean"),
        ((*FIELDS, "memory"), {"type": "string", "enum": ["on"]}, "'off' is no longer taken"),
        ((*FIELDS, "name"), {"type": "string", "maxLength": 50}, "maxLength is tighter"),
        ((*FIELDS, "budget"), {"$ref": "#/components/schemas/Budget"}, "was null or object, is object"),
        (("components", "schemas", "Budget", "properties"), {}, ".budget.usd is gone"),
        (("components", "schemas", "Key", "required"), ["name", "memory"], ".memory is demanded now"),
        (("components", "schemas", "Key", "required"), [], ".name may be missing now"),
    ],
)
def test_what_breaks_a_client_is_found(path: tuple[str, ...], value: Any, told: str) -> None:
    assert any(told in line for line in Comparison(DOCUMENT, _changed(path, value)).run())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("paths", "/admin/v1/new"), {"get": {"responses": {"200": {}}}}),
        ((*FIELDS, "owner"), {"type": "string"}),
        ((*FIELDS, "name"), {"type": "string", "maxLength": 200}),
        ((*FIELDS, "memory"), {"type": "string", "enum": ["on", "off", "read"]}),
        ((*POST, "responses", "409"), {"description": "conflict"}),
    ],
)
def test_an_addition_breaks_nobody(path: tuple[str, ...], value: Any) -> None:
    assert Comparison(DOCUMENT, _changed(path, value)).run() == []


def test_the_api_keeps_what_it_promised() -> None:
    now = present()
    breaking = Comparison(promised(), now).run()
    assert not breaking, "this breaks clients:\n" + "\n".join(breaking)
    assert rendered(now) == PROMISED.read_text(), "the API has grown: run `make api`"


def test_the_promise_covers_both_planes() -> None:
    paths = promised()["paths"]
    for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/recall", "/v1/ingest", "/admin/v1/keys"):
        assert path in paths
