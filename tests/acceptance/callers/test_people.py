"""People from outside: the first start, signing in through the gateways, TLS."""

import re
import ssl
import subprocess
import urllib.request

import httpx
import pytest

from support.processes import wait_until
from support.service import Service, ServiceOptions
from support.visitors import PASSWORD, Person, account_of


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


def test_a_cookie_opens_no_data_plane_and_no_tools(own: Service) -> None:
    own.call("POST", "/admin/v1/workspaces", {"id": "third", "name": "Third"})
    person = Person(own, account_of(own, "owner", "third")[0])
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
