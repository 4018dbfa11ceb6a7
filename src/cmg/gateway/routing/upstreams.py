"""The upstreams of the settings with the two predefined ones, ready to be called."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from cmg.config import Settings, UpstreamSettings
from cmg.gateway.upstreams.transport import Timeouts, Transport

SIMULATOR = "sim"
OPENROUTER = "openrouter"
OPENROUTER_URL = "https://openrouter.ai/api/v1"
_FORGONE_S = 3600.0
_KEY_VARIABLE = "OPENROUTER_API_KEY"


class Upstream:
    """One API: where it is, how long it may take, and why it cannot be asked when it is not configured."""

    def __init__(self, settings: UpstreamSettings, transport: Transport, missing: str | None = None) -> None:
        self.name, self.transport, self.missing = settings.name, transport, missing
        self.base_url = settings.base_url.rstrip("/")
        self.retries, self.prefill = settings.retries, settings.prefill
        self.openrouter = settings.kind == OPENROUTER
        self.models = tuple(settings.models)
        self._stream_usage = settings.stream_usage
        self._no_usage_until = float("-inf")
        self.timeouts = Timeouts(
            connect_s=settings.timeout_connect_s,
            first_byte_s=settings.timeout_first_token_s,
            idle_s=settings.timeout_idle_s,
            total_s=settings.timeout_total_s,
        )
        self.headers = {"content-type": "application/json", "user-agent": "context-memory-gateway"}
        if settings.api_key and missing is None:
            self.headers["authorization"] = f"Bearer {settings.api_key}"

    def serves(self, model: str) -> bool:
        """Whether one of its globs matches the whole name."""
        return any(fnmatchcase(model, glob) for glob in self.models)

    def asks_usage(self, now: float) -> bool:
        """Whether a stream that begins now (monotonic seconds) is asked to report its usage."""
        return self._stream_usage != "never" and now >= self._no_usage_until

    def forgo_usage(self, now: float) -> bool:
        """It refused to be asked: leave it alone with that for an hour. False when the settings insist on asking."""
        if self._stream_usage == "auto":
            self._no_usage_until = now + _FORGONE_S
        return self._stream_usage == "auto"


def build_upstreams(settings: Settings, network: Transport, simulator: Transport) -> list[Upstream]:
    """In the order of the settings, then OpenRouter; one of these names in the settings replaces the predefined."""
    own = [Upstream(one, network, _missing(one)) for one in settings.upstreams]
    names = {upstream.name for upstream in own}
    predefined = []
    if OPENROUTER not in names:
        key = settings.openrouter_api_key
        described = UpstreamSettings(
            name=OPENROUTER,
            base_url=OPENROUTER_URL,
            api_key=key,
            models=["*/*"],
            kind="openrouter",
            stream_usage="never",  # it reports unasked
        )
        predefined.append(Upstream(described, network, None if key else _KEY_VARIABLE))
    if simulates(settings):
        predefined.append(Upstream(UpstreamSettings(name=SIMULATOR, base_url="http://simulator/v1"), simulator))
    return [*own, *predefined]


def simulates(settings: Settings) -> bool:
    """Whether `sim/` is the built-in simulator."""
    return all(one.name != SIMULATOR for one in settings.upstreams)


def configured(upstreams: Sequence[Upstream]) -> list[Upstream]:
    """Those that can be asked."""
    return [upstream for upstream in upstreams if upstream.missing is None]


def _missing(settings: UpstreamSettings) -> str | None:
    """The variable that a key should have come from and did not."""
    key = settings.api_key
    return key[4:] if key is not None and key.startswith("env:") else None
