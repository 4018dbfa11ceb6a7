"""People from outside: the first start, signing in through the gateways, TLS, and who may call which route."""

import re
import ssl
import subprocess
import urllib.request

import httpx
import pytest

from cmg.app.control_plane import build_for_docs
from cmg.identity.accounts.models import ROLE_SCOPES
from cmg.kit.permissions import permission_of, routes_of
from cmg.kit.scopes import covers
from support.processes import wait_until
from support.service import Service, ServiceOptions

PASSWORD = "violet tractor ninety lemons"
ROLES = ("admin", "owner", "member", "read_only")
# These end or change the session that asks: the matrix signs in again after them.
ENDING = {"/admin/v1/logout", "/admin/v1/sessions", "/admin/v1/sessions/{session_id}"}


@pytest.fixture(scope="module")
def own() -> Service:
    """A service that nobody else changes accounts of."""
    with Service(ServiceOptions()) as running:
        yield running


class Person:
    """Somebody who signed in: sends cookie and token by hand, since a jar keeps Secure cookies from plain HTTP."""

    def __init__(self, service: Service, email: str, password: str = PASSWORD) -> None:
        self.http = httpx.Client(base_url=service.url, timeout=30)
        self.email, self.password = email, password
        self.sign_in()

    def sign_in(self) -> httpx.Response:
        """POST /admin/v1/login."""
        self.headers: dict[str, str] = {}
        answer = self.call("POST", "/admin/v1/login", {"email": self.email, "password": self.password})
        assert answer.status_code == 200, answer.text
        self.keep(answer)
        return answer

    def keep(self, answer: httpx.Response) -> None:
        """Take over the cookie and the token of an answer."""
        cookie = answer.headers["set-cookie"].split(";")[0]
        self.headers = {"cookie": cookie, "x-cmg-csrf": answer.json()["csrf"]}

    def call(self, method: str, path: str, body=None) -> httpx.Response:
        """One request."""
        self.http.cookies.clear()
        return self.http.request(method, path, json=body, headers=self.headers)


def _account(service: Service, role: str, workspace: str = "default") -> tuple[str, str]:
    """(e-mail address, id) of a new active account."""
    email = f"{role}-{workspace}@example.org"
    form = {"email": email, "role": role, "workspace": workspace}
    status, made = service.call("POST", "/admin/v1/accounts", form)
    assert status == 201, made
    body = {"token": made["token"], "password": PASSWORD}
    status, answer = service.call("POST", "/admin/v1/invitations/accept", body)
    assert status == 200, answer
    return email, made["id"]


def test_the_first_start_prints_a_password_that_is_good_for_changing_it(own: Service) -> None:
    found = re.search(r"Administrator (\S+), one-time password \(.*\): (\S+)", own.log.read_text())
    assert found is not None
    assert own.log.read_text().count("one-time password") == 1
    person = Person(own, found[1], found[2])
    assert person.call("GET", "/admin/v1/keys").json()["error"]["code"] == "password_change_needed"
    changed = person.call("POST", "/admin/v1/me/password", {"current": found[2], "new": PASSWORD})
    assert changed.status_code == 200, changed.text
    person.keep(changed)
    assert person.call("GET", "/admin/v1/keys").status_code == 200
    assert person.call("POST", "/admin/v1/logout").status_code == 204
    assert person.call("GET", "/admin/v1/keys").status_code == 401


def test_every_answer_is_protected_and_the_docs_page_still_works(own: Service) -> None:
    for path in ("/livez", "/v1/models", "/admin/v1/login", "/nothing", "/docs"):
        answer = httpx.get(own.url + path, headers={"authorization": f"Bearer {own.key}"})
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert len(answer.headers.get_list("content-security-policy")) == 1
        policy = "script-src 'self'" in answer.headers["content-security-policy"]
        assert policy is (path == "/docs"), path


def test_failures_show_in_metrics_and_in_the_log_without_the_password(own: Service) -> None:
    secret = "not-this-password-anywhere"
    body = {"email": "who@example.org", "password": secret}
    status, _ = own.call("POST", "/admin/v1/login", body, key=own.key)
    assert status == 401
    _, text = own.call("GET", "/metrics")
    assert re.search(r'cmg_security_events_total\{event="authn_login_fail"\} [1-9]', str(text))
    assert '"event.action":"authn_login_fail"' in own.log.read_text()
    assert secret not in own.log.read_text()


def _routes() -> list[tuple[str, str, str]]:
    """(method, path, permission) of every route of the control plane."""
    return [
        (method, route.path, str(permission_of(route)))
        for route in routes_of(build_for_docs())
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def _things(service: Service, workspace: str) -> dict[str, str]:
    """Something of each kind in a workspace, by the name that paths have for its id."""
    key = service.new_key_full(workspace=workspace)["id"]
    form = {"email": f"thing-{key}@example.org", "role": "read_only", "workspace": workspace}
    _, account = service.call("POST", "/admin/v1/accounts", form)
    return {"key_id": key, "workspace_id": workspace, "account_id": account["id"]}


def _filled(path: str, things: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)(?::path)?\}", lambda found: things.get(found[1], "nothing1"), path)


def _verdict(answer: httpx.Response) -> str:
    """`allowed`, `hidden` (404), `refused` (for lack of a scope or session) or `unknown caller`."""
    if answer.status_code == 401 and answer.json()["error"]["code"] != "login_failed":
        return "unknown caller"
    if answer.status_code == 403:
        return "refused"
    return "hidden" if answer.status_code == 404 else "allowed"


def _expected(role: str, permission: str) -> bool:
    if permission in {"public", "session"}:
        return True
    return covers(ROLE_SCOPES[role], permission)  # type: ignore[index]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_reaches_what_its_scopes_allow_and_nothing_of_another_workspace(own: Service, role: str) -> None:
    own.call("POST", "/admin/v1/workspaces", {"id": "other", "name": "Other"})
    person, wrong, tried = Person(own, _account(own, role)[0]), [], 0
    for method, path, permission in _routes():
        wanted = _expected(role, permission)
        for workspace in ("default", "other"):
            things = _things(own, workspace)
            answer = person.call(method, _filled(path, things), {} if method in {"POST", "PATCH", "PUT"} else None)
            verdict, tried = _verdict(answer), tried + 1
            foreign = workspace == "other" and role != "admin" and any(f"{{{name}}}" in path for name in things)
            good = {"hidden"} if wanted and foreign else {"allowed", "hidden"} if wanted else {"refused"}
            if verdict not in good:
                wrong.append(f"{method} {path} ({permission}) of {workspace}: {answer.status_code} {answer.text[:150]}")
            if path in ENDING:
                person.sign_in()
    assert not wrong, "\n".join(wrong)
    assert tried > 100


def test_a_stranger_reaches_only_what_is_public_and_a_cookie_opens_no_data_plane(own: Service) -> None:
    wrong = []
    for method, path, permission in _routes():
        answer = httpx.request(method, own.url + _filled(path, {}), json={})
        public = permission == "public" and path != "/metrics"
        if (_verdict(answer) == "unknown caller") is public:
            wrong.append(f"{method} {path} ({permission}): {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_a_cookie_opens_no_data_plane_and_no_tools(own: Service) -> None:
    own.call("POST", "/admin/v1/workspaces", {"id": "third", "name": "Third"})
    person = Person(own, _account(own, "owner", "third")[0])
    calls = {"/v1/chat/completions": "POST", "/v1/models": "GET", "/v1/recall": "POST", "/v1/memories": "GET"}
    for path, method in calls.items():
        assert person.call(method, path, {} if method == "POST" else None).status_code == 401, path
    assert person.call("POST", "/mcp", {}).status_code == 404


@pytest.mark.needs("openssl")
def test_it_speaks_tls_itself(tmp_path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run([*made, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tmp_path.chmod(0o755)
    service = Service(ServiceOptions(toml=f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'))
    service.wait_ready = lambda _timeout_s=60: 0.0  # it asks by plain HTTP
    trust = ssl.create_default_context(cafile=str(certificate))
    with service:
        url = service.url.replace("http:", "https:")
        headers = _over_tls(f"{url}/livez", trust)
        assert headers["strict-transport-security"] == "max-age=31536000"
        request = urllib.request.Request(f"{url}/v1/models", headers={"authorization": f"Bearer {service.key}"})
        with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
            assert b"sim/echo" in answer.read()
        assert f"runs at {url}" in service.log.read_text()


def _over_tls(url: str, trust: ssl.SSLContext) -> dict[str, str]:
    """The headers of an answer, once the service answers."""
    found: dict[str, str] = {}

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, context=trust, timeout=5) as answer:
                found.update({name.lower(): value for name, value in answer.headers.items()})
        except OSError:
            return False
        return True

    wait_until(answers, 60, "the service answers by TLS")
    return found
