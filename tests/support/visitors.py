"""People who use a running service from outside."""

import httpx

from support.service import Service

PASSWORD = "violet tractor ninety lemons"


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


def account_of(service: Service, role: str, workspace: str = "default") -> tuple[str, str]:
    """(e-mail address, id) of a new active account."""
    email = f"{role}-{workspace}@example.org"
    form = {"email": email, "role": role, "workspace": workspace}
    status, made = service.call("POST", "/admin/v1/accounts", form)
    assert status == 201, made
    body = {"token": made["token"], "password": PASSWORD}
    status, answer = service.call("POST", "/admin/v1/invitations/accept", body)
    assert status == 200, answer
    return email, made["id"]
