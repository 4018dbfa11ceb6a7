"""Somebody who is signed in, at a page."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from cmg.console.keyed import Keyed
from cmg.console.plane import Plane, Query
from cmg.kit.clock import Clock
from cmg.kit.scopes import covers

VISIT = "cmg.console.visit"


class Person(msgspec.Struct, frozen=True):
    """Who is signed in, as the control plane tells."""

    email: str
    name: str
    role: str
    workspace: str
    scopes: frozenset[str]
    csrf: str
    must_change_password: bool
    confirm_needed: bool

    def __repr__(self) -> str:
        return f"Person({self.email})"


class Visit(msgspec.Struct, frozen=True):
    """What a request of a page brings along."""

    person: Person
    plane: Plane
    api_url: str
    gateway_url: str
    clock: Clock


async def sign_in(plane: Plane, urls: tuple[str, str], clock: Clock) -> Visit:
    """The visit of whom the plane's cookie belongs to. Raises `Refused` (401) when the session is none.

    `urls`: of the API as its clients know it, and as this process reaches it.
    """
    told = await plane.json("GET", "/admin/v1/me")
    person = msgspec.convert({name: told[name] for name in Person.__struct_fields__}, Person)
    return Visit(person, plane.with_csrf(person.csrf), *urls, clock)


class View:
    """What a page works with: who looks, the words of its address, and calls in that person's name."""

    def __init__(self, visit: Visit, path: Mapping[str, str], query: Mapping[str, str]) -> None:
        self._plane, self._gateway_url = visit.plane, visit.gateway_url
        self.person, self.api_url, self.clock = visit.person, visit.api_url, visit.clock
        self.path, self.query = path, query

    def may(self, scope: str) -> bool:
        """Whether the person's role covers a scope: to hide what would be refused. The control plane decides."""
        return covers(self.person.scopes, scope)

    def keyed(self, key: str) -> Keyed:
        """Calls of the service's own API with a key that the person gave."""
        return Keyed(self._gateway_url, key, self._plane.address)

    async def get(self, path: str, query: Query | None = None) -> Any:
        """GET, decoded. Raises `Refused`, as all of these."""
        return await self._plane.json("GET", path, query)

    async def post(self, path: str, body: Any = None) -> Any:
        """POST."""
        return await self._plane.json("POST", path, body=body)

    async def put(self, path: str, body: Any = None) -> Any:
        """PUT."""
        return await self._plane.json("PUT", path, body=body)

    async def patch(self, path: str, body: Any = None) -> Any:
        """PATCH."""
        return await self._plane.json("PATCH", path, body=body)

    async def delete(self, path: str, query: Query | None = None) -> Any:
        """DELETE."""
        return await self._plane.json("DELETE", path, query)

    def records(self, path: str, query: Query | None = None) -> AsyncIterator[Any]:
        """GET of an answer that goes on: its lines, as they come."""
        return self._plane.records(path, query)

    async def text(self, path: str, query: Query | None = None) -> str:
        """GET of what is no JSON: a document, a picture."""
        return (await self._plane.raw("GET", path, query)).text
