"""Who may call which route: every route, by every role and kind of key, for the own workspace and for another one."""

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
import pytest

from cmg.app.control_plane import build_for_docs
from cmg.identity.accounts.models import ROLE_SCOPES
from cmg.kit.permissions import permission_of, routes_of
from cmg.kit.scopes import EVERYTHING, covers
from support.alerting_things import AlertingThings
from support.processes import wait_until
from support.service import Service
from support.visitors import Person, account_of

ROLES = ("admin", "owner", "member", "read_only")
KEYS = {"key admin": ["admin"], "key admin:read": ["admin:read"], "key chat": ["chat", "embeddings", "models"]}
# These end or change the session that asks: it signs in again after them.
ENDING = {"/admin/v1/logout", "/admin/v1/sessions", "/admin/v1/sessions/{session_id}"}
# Forms that name a workspace: another one's must not be found.
FORMS = {
    "/admin/v1/keys": {"name": "k", "scopes": ["chat"]},
    "/admin/v1/accounts": {"email": "new@example.org", "role": "read_only"},
}
# Forms that are looked at before the thing that they are about.
BODIES = {
    "/admin/v1/alerts/{alert_id}/feedback": {"verdict": "useful"},
    "/admin/v1/alerts/{alert_id}/snooze": {"minutes": 5},
    "/admin/v1/alerts/{alert_id}/reassign": {"responder": "nobody"},
}
# What comes without a good signature: a calendar's address that is none is not found, as programs of calendars know.
_UNSIGNED = {"unknown caller", "hidden"}
# Of the workspace of whoever asks, an administrator of the service too.
OWN_ONLY = {"name", "alert_id", "feed"}
_TIMES = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"}
# These check a scope of their own, for addresses that need no key.
_METRICS = {"/metrics": "metrics", "/metrics/workspaces": "admin:all"}
_DESTROYED = {"key_id", "account_id"}
_PATH_NAMES = re.compile(r"\{(\w+)(?::path)?\}")


@dataclass(frozen=True)
class Route:
    """One method of one path; `by_workspace`: a workspace can be named in the query."""

    method: str
    path: str
    permission: str
    by_workspace: bool


@dataclass
class Asker:
    """Somebody who calls: `call(method, path, body, query)`, and what they may."""

    name: str
    scopes: frozenset[str]
    person: Person | None
    call: Callable[..., httpx.Response]

    def may(self, permission: str) -> bool:
        """Whether the permission is theirs, in their own workspace."""
        if permission == "public":
            return True
        return self.person is not None if permission == "session" else covers(self.scopes, permission)


@functools.cache
def _routes() -> Sequence[Route]:
    """Every one; what describes them takes two seconds to build."""
    app = build_for_docs()
    paths = app.openapi()["paths"]

    def named(path: str, method: str) -> bool:
        operation = paths.get(path, {}).get(method.lower(), {})
        return any(one["name"] == "workspace" for one in operation.get("parameters", []))

    return [
        Route(method, route.path, str(permission_of(route)), named(route.path, method))
        for route in routes_of(app)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


@pytest.fixture(scope="module", autouse=True)
def other(own: Service) -> None:
    """A workspace beside the default one."""
    assert own.call("POST", "/admin/v1/workspaces", {"id": "other", "name": "Other"})[0] == 201


class Things:
    """Something of each kind in a workspace, by the name that paths have for its id."""

    def __init__(self, service: Service, workspace: str) -> None:
        self._service, self._workspace = service, workspace
        self._seen = {**self._fresh(), "id": self._trace(), "incident": self._incident()}
        self._spare: dict[str, str] = {}
        self._alerting = AlertingThings(service, workspace)

    def _fresh(self) -> dict[str, str]:
        key = self._service.new_key_full(workspace=self._workspace)["id"]
        form = {"email": f"thing-{key}@example.org", "role": "read_only", "workspace": self._workspace}
        _, account = self._service.call("POST", "/admin/v1/accounts", form)
        return {"key_id": key, "workspace_id": self._workspace, "account_id": account["id"]}

    def _trace(self) -> str:
        secret = str(self._service.new_key_full(workspace=self._workspace)["key"])
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {secret}", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        answer = httpx.post(f"{self._service.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
        made = answer.headers["x-cmg-request-id"]

        def stored() -> bool:
            return self._service.call("GET", f"/admin/v1/traces/{made}")[0] == 200

        wait_until(stored, 15, "the trace is stored")
        return str(made)

    def _incident(self) -> str:
        """Of the whole service, whichever workspace."""
        form = {"title": "Calls fail", "severity": "SEV-3"}
        status, made = self._service.call("POST", "/admin/v1/incidents", form)
        assert status == 201, made
        return str(made["id"])

    def of(self, route: Route) -> dict[str, str]:
        """Ids for a route; for what it may destroy, such as nobody has changed."""
        spare = {}
        if _destroys(route):
            spare = self._spare = self._spare or self._fresh()
        return {**self._seen, **spare, **self._alerting.ids(route.path)}

    def changed(self, route: Route) -> None:
        """Somebody was allowed to call the route: what it may have changed is made anew."""
        if _destroys(route):
            self._spare = {}
        self._alerting.changed(route.path)


def _destroys(route: Route) -> bool:
    return route.method != "GET" and not _DESTROYED.isdisjoint(_PATH_NAMES.findall(route.path))


@pytest.fixture(scope="module")
def things(own: Service) -> dict[str, Things]:
    """By workspace."""
    return {workspace: Things(own, workspace) for workspace in ("default", "other")}


def _asker(own: Service, name: str) -> Asker:
    if name in KEYS:
        secret = str(own.new_key_full(scopes=KEYS[name])["key"])
        http = httpx.Client(base_url=own.url, timeout=30, headers={"authorization": f"Bearer {secret}"})

        def by_key(method: str, path: str, body: object = None) -> httpx.Response:
            return http.request(method, path, json=body)

        return Asker(name, frozenset(KEYS[name]), None, by_key)
    person = Person(own, account_of(own, name)[0])
    return Asker(name, frozenset(ROLE_SCOPES[name]), person, person.call)  # type: ignore[index]


def _verdict(answer: httpx.Response) -> str:
    """`allowed`, `hidden` (404), `refused` (for lack of a scope or session) or `unknown caller`."""
    if answer.status_code == 401 and '"login_failed"' not in answer.text:
        return "unknown caller"
    if answer.status_code == 403:
        return "refused"
    return "hidden" if answer.status_code == 404 else "allowed"


def _filled(path: str, things: dict[str, str]) -> str:
    return _PATH_NAMES.sub(lambda found: things.get(found[1], "nothing1"), path)


def _good(asker: Asker, route: Route, workspace: str, known: dict[str, str]) -> set[str]:
    """The verdicts that are right."""
    if route.path in _METRICS:
        return {"allowed"} if covers(asker.scopes, _METRICS[route.path]) else {"refused"}
    if route.permission == "signed":  # whoever it is, what is sent here is not signed
        return _UNSIGNED
    if not asker.may(route.permission):
        return {"refused"}
    names = _PATH_NAMES.findall(route.path)
    if workspace == "other" and any(name in known for name in OWN_ONLY.intersection(names)):
        return {"allowed"} if route.method == "PUT" else {"hidden"}  # what is written is one of the caller's own
    named = any(name in known for name in names) or route.by_workspace
    if workspace == "other" and named and EVERYTHING not in asker.scopes and route.permission != "public":
        return {"hidden", "refused"} if route.by_workspace else {"hidden"}
    real = all(name in known for name in names) and route.permission not in {"session", "public"}
    return {"allowed"} if real and route.method == "GET" else {"allowed", "hidden"}


def _ask(asker: Asker, route: Route, workspace: str, known: dict[str, str]) -> httpx.Response:
    path = _filled(route.path, known)
    if route.by_workspace:
        times = _TIMES if "/panels/" in route.path else {}
        path += f"?{httpx.QueryParams({**times, 'workspace': workspace})}"
    body = {**FORMS[route.path], "workspace": workspace} if route.path in FORMS else BODIES.get(route.path, {})
    if route.method == "PUT":
        body = {"no_document": "has this"}  # one that was written would be the caller's own from then on
    return asker.call(route.method, path, body if route.method in {"POST", "PATCH", "PUT"} else None)


@pytest.mark.parametrize("name", [*ROLES, *KEYS])
def test_each_caller_reaches_what_its_scopes_allow_and_nothing_of_another_workspace(
    own: Service, things: dict[str, Things], name: str
) -> None:
    asker, wrong, told = _asker(own, name), [], Counter[str]()
    for route in _routes():
        if "/logs/tail" in route.path and asker.may(route.permission):
            continue  # it goes on for minutes; `test_a_tail_is_hidden` asks it
        for workspace in ("default", "other"):
            known = things[workspace].of(route)
            answer = _ask(asker, route, workspace, known)
            verdict = _verdict(answer)
            told[verdict] += 1
            if verdict == "allowed" and route.method != "GET":
                things[workspace].changed(route)
            if verdict not in _good(asker, route, workspace, known):
                wrong.append(f"{route} of {workspace}: {answer.status_code} {answer.text[:150]}")
            if asker.person is not None and route.path in ENDING:
                asker.person.sign_in()
    assert not wrong, "\n".join(wrong)
    print(f"| {name} | {told['allowed']} | {told['hidden']} | {told['refused']} |")  # `-s` shows it
    assert told.total() > 300


@pytest.mark.parametrize("name", ["owner", "member", "read_only", "key admin"])
def test_forms_that_name_another_workspace_find_none(own: Service, name: str) -> None:
    asker = _asker(own, name) if name in KEYS else _again(own, name)
    for path, form in FORMS.items():
        answer = asker.call("POST", path, {**form, "workspace": "other"})
        assert answer.status_code == (404 if asker.may("admin") else 403), (path, answer.text)


def test_the_tail_of_another_workspace_is_hidden(own: Service) -> None:
    asker = _asker(own, "key admin:read")
    assert asker.call("GET", "/admin/v1/logs/tail?workspace=other").status_code == 404


def _again(own: Service, name: str) -> Asker:
    """A person whose account the matrix made, or a new one."""
    person = Person(own, f"{name}-default@example.org")
    return Asker(name, frozenset(ROLE_SCOPES[name]), person, person.call)  # type: ignore[index]


def test_a_stranger_reaches_only_what_is_public(own: Service) -> None:
    wrong = []
    with httpx.Client(base_url=own.url) as http:
        for route in _routes():
            answer = http.request(route.method, _filled(route.path, {}), json={})
            http.cookies.clear()
            public = route.permission == "public" and route.path not in _METRICS
            refused = _UNSIGNED if route.permission == "signed" else {"unknown caller"}
            if (_verdict(answer) in refused) is public:
                wrong.append(f"{route}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
