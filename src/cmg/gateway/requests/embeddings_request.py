"""An embeddings request as the gateway sees it; the input itself passes through."""

from typing import Any

import msgspec

from cmg.gateway.requests.json_body import Fields, is_model_ambiguous, raw, read_fields, write_fields
from cmg.kit.asgi import decode
from cmg.kit.errors import InvalidRequest


class EmbeddingsBody(msgspec.Struct, gc=False):
    """The typed part of the body."""

    model: str | None = None
    input: str | list[Any] | None = None
    user: str | None = None
    models: list[str] | None = None


_body = msgspec.json.Decoder(EmbeddingsBody)


class EmbeddingsRequest:
    """A checked request: the model as asked, the user, and how to write the body again."""

    __slots__ = ("_body", "_fields", "input", "model", "models", "user")

    def __init__(self, body: bytes, fields: Fields, typed: EmbeddingsBody, model: str) -> None:
        self._body, self._fields = body, fields
        self.model, self.user, self.models = model, typed.user, typed.models or []
        self.input = typed.input

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self._body)

    @property
    def texts(self) -> list[str]:
        """The input as texts; token ids are left out."""
        if isinstance(self.input, str):
            return [self.input]
        return [item for item in self.input or () if isinstance(item, str)]

    def body_for(self, model: str) -> bytes:
        """The body for an upstream: its name for the model, without our fallbacks."""
        as_named = model == self.model and "model" in self._fields and not is_model_ambiguous(self._body)
        if as_named and "models" not in self._fields:
            return self._body
        sent = {name: value for name, value in self._fields.items() if name != "models"}
        sent["model"] = raw(model)
        return write_fields(sent)


def read_embeddings(body: bytes, default_model: str | None, depth_max: int) -> EmbeddingsRequest:
    """Decode and check. Raises `InvalidRequest` that names the field."""
    fields = read_fields(body, depth_max)
    typed = decode(_body, body)
    model = typed.model or default_model
    if not model:
        raise InvalidRequest("model is missing; name one, or give the key a default model", param="model")
    if typed.input is None or len(typed.input) == 0:
        raise InvalidRequest("input is missing or empty", param="input")
    if not isinstance(typed.input, str) and not all(isinstance(item, str | int | list) for item in typed.input):
        raise InvalidRequest("input must be a text, texts, or token ids", param="input")
    return EmbeddingsRequest(body, fields, typed, model)
