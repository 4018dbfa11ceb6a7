"""From a model's name to the candidates that may answer it, in order."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from cmg.config import RouteSettings
from cmg.gateway.routing.upstreams import OPENROUTER, SIMULATOR, Upstream
from cmg.identity.authenticator import check_model, check_not_blocked
from cmg.identity.models import Caller
from cmg.kit.errors import InvalidRequest, ModelNotFound

_CANDIDATES_MAX = 32
_REMEMBERED = 4096  # names whose upstream is kept at hand: clients choose them, so there must be an end


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One upstream and its own name for the model."""

    upstream: Upstream
    model: str

    @property
    def name(self) -> str:
        """`<upstream>/<model>`."""
        return f"{self.upstream.name}/{self.model}"

    @property
    def place(self) -> tuple[str, str]:
        """What a circuit breaker belongs to."""
        return self.upstream.name, self.model


class Router:
    """Routes of the settings first, then `sim/` and `<upstream>/` prefixes, then the upstreams' globs."""

    def __init__(
        self, upstreams: Sequence[Upstream], routes: Sequence[RouteSettings], simulated: Collection[str]
    ) -> None:
        self._upstreams = list(upstreams)
        self._by_name: Mapping[str, Upstream] = {upstream.name: upstream for upstream in upstreams}
        self._routes = {route.model: route.candidates for route in routes}
        self._simulated = simulated
        self._found: dict[str, Candidate] = {}

    def candidates(self, model: str, fallbacks: Sequence[str], caller: Caller) -> list[Candidate]:
        """Who may answer `model`, then each of `fallbacks`; nobody twice.

        Raises `Forbidden` for a name that the key may not use, and `ModelNotFound` when nobody serves `model`; for
        an unknown fallback too: a fallback that cannot work should be heard of before it is needed.
        """
        found: dict[tuple[str, str], Candidate] = {}
        for param, name in (("model", model), *(("models", name) for name in fallbacks)):
            check_model(caller, name)
            for candidate in self._resolve(name, param):
                check_not_blocked(caller, candidate.model)
                check_not_blocked(caller, candidate.name)
                found.setdefault(candidate.place, candidate)
        if len(found) > _CANDIDATES_MAX:
            raise InvalidRequest(f"models may lead to at most {_CANDIDATES_MAX} candidates", param="models")
        return list(found.values())

    def names(self) -> list[str]:
        """The models that the settings themselves name: routes and the simulator's."""
        return [*self._routes, *(f"{SIMULATOR}/{name}" for name in self._simulated)]

    def place(self, name: str) -> tuple[Candidate | None, str | None]:
        """Who answers a name that is no route, or why nobody does."""
        try:
            return self._one(name, "model"), None
        except ModelNotFound as error:
            return None, error.message

    def _resolve(self, name: str, param: str) -> list[Candidate]:
        listed = self._routes.get(name)
        if listed is None:
            return [self._one(name, param)]
        known = []
        for one in listed:
            try:
                known.append(self._one(one, param))
            except ModelNotFound as error:
                missing = error
        if not known:
            raise missing
        return known

    def _one(self, name: str, param: str) -> Candidate:
        found = self._found.get(name)
        if found is None:
            found = self._look_up(name, param)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[name] = found
        return found

    def _look_up(self, name: str, param: str) -> Candidate:
        prefix, slash, rest = name.partition("/")
        if slash and rest and prefix in self._by_name:
            return self._checked(Candidate(self._by_name[prefix], rest), name, param)
        unset: Upstream | None = None
        for upstream in self._upstreams:
            if upstream.serves(name):
                if upstream.missing is None:
                    return Candidate(upstream, name)
                unset = unset or upstream
        if unset is not None:
            raise _unset(name, unset, param)
        raise ModelNotFound(
            f"no upstream serves the model `{name}`; add one whose `models` match it to the settings, "
            f"or ask {OPENROUTER} for it as `{OPENROUTER}/{name}`",
            param=param,
        )

    def _checked(self, candidate: Candidate, name: str, param: str) -> Candidate:
        if candidate.upstream.missing is not None:
            raise _unset(name, candidate.upstream, param)
        if candidate.upstream.name == SIMULATOR and self._simulated and candidate.model not in self._simulated:
            listed = ", ".join(f"{SIMULATOR}/{one}" for one in self._simulated)
            raise ModelNotFound(f"the simulator has no model `{name}`; it has {listed}", param=param)
        return candidate


def _unset(name: str, upstream: Upstream, param: str) -> ModelNotFound:
    return ModelNotFound(
        f"the model `{name}` belongs to the upstream `{upstream.name}`, which is not configured: "
        f"set {upstream.missing} to its API key",
        param=param,
    )
