"""What changed between two OpenAPI documents, and which of it breaks a client that was written against the first.

A client breaks when something it sends is no longer taken (a path, a parameter or a field that is gone, a new demand,
a narrower type) or when something it reads is no longer there or is of another type. Additions break nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
# A larger upper bound or a smaller lower one takes more than before; other keywords must stay as they are.
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


@dataclass
class Comparison:
    """Compares `old` with `new`; `breaking` holds a line for each thing a client would notice."""

    old: Json
    new: Json
    breaking: list[str] = field(default_factory=list)
    _seen: set[tuple[str, str, bool]] = field(default_factory=set)

    def run(self) -> list[str]:
        """Every breaking change, in the document's order."""
        for path, methods in self.old.get("paths", {}).items():
            for method in METHODS:
                if method in methods:
                    new = self.new.get("paths", {}).get(path, {}).get(method)
                    self._operation(f"{method.upper()} {path}", methods[method], new)
        return self.breaking

    def _operation(self, where: str, old: Json, new: Json | None) -> None:
        if new is None:
            self.breaking.append(f"{where} is gone")
            return
        self._parameters(where, old.get("parameters", []), new.get("parameters", []))
        self._request(where, old.get("requestBody"), new.get("requestBody"))
        for status, answer in old.get("responses", {}).items():
            if status not in new.get("responses", {}):
                self.breaking.append(f"{where}: the answer {status} is gone")
            else:
                self._content(f"{where} → {status}", answer, new["responses"][status], sent=False)

    def _parameters(self, where: str, old: list[Json], new: list[Json]) -> None:
        before = {(one["in"], one["name"]): one for one in old}
        after = {(one["in"], one["name"]): one for one in new}
        for key, one in before.items():
            if key not in after:
                self.breaking.append(f"{where}: the {key[0]} parameter {key[1]} is gone")
            else:
                self._schema(f"{where}?{key[1]}", one.get("schema", {}), after[key].get("schema", {}), sent=True)
        for key, one in after.items():
            if one.get("required") and not before.get(key, {}).get("required"):
                self.breaking.append(f"{where}: the {key[0]} parameter {key[1]} is demanded now")

    def _request(self, where: str, old: Json | None, new: Json | None) -> None:
        if old is None:
            if new is not None and new.get("required"):
                self.breaking.append(f"{where}: a body is demanded now")
        elif new is None:
            self.breaking.append(f"{where}: a body is no longer taken")
        else:
            self._content(where, old, new, sent=True)

    def _content(self, where: str, old: Json, new: Json, *, sent: bool) -> None:
        for kind, content in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                self.breaking.append(f"{where}: {kind} is gone")
            else:
                self._schema(where, content.get("schema", {}), new["content"][kind].get("schema", {}), sent=sent)

    def _schema(self, where: str, old: Json, new: Json, *, sent: bool) -> None:
        """Compare two schemas; `sent`: the client sends it, else it reads it."""
        references = (str(old.get("$ref")), str(new.get("$ref")), sent)
        if "$ref" in old and references in self._seen:
            return
        self._seen.add(references)
        before, after = self._alternatives(old, self.old), self._alternatives(new, self.new)
        taken, given = (before, after) if sent else (after, before)
        lost = [kind for kind in taken if kind not in given and "any" not in given]
        if lost:
            self.breaking.append(f"{where}: was {_names(before)}, is {_names(after)}")
            return
        for kind in before.keys() & after.keys():
            self._same_kind(where, before[kind], after[kind], sent=sent)

    def _alternatives(self, schema: Json, document: Json) -> dict[str, Json]:
        """The kinds a value may have: JSON type (numbered when several are objects) → schema."""
        found: dict[str, Json] = {}
        for one in _flatten(_resolve(schema, document), document):
            kinds = one.get("type", _kind_of(one))
            for kind in kinds if isinstance(kinds, list) else [kinds]:
                same = sum(name.split("#")[0] == kind for name in found)
                found[f"{kind}#{same}" if same else kind] = one
        return found

    def _same_kind(self, where: str, old: Json, new: Json, *, sent: bool) -> None:
        self._fields(where, old, new, sent=sent)
        if "items" in old and "items" in new:
            self._schema(f"{where}[]", old["items"], new["items"], sent=sent)
        if isinstance(old.get("additionalProperties"), dict) and isinstance(new.get("additionalProperties"), dict):
            self._schema(f"{where}.*", old["additionalProperties"], new["additionalProperties"], sent=sent)
        if sent:
            self._bounds(where, old, new)

    def _fields(self, where: str, old: Json, new: Json, *, sent: bool) -> None:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            if name not in after:
                self.breaking.append(f"{where}.{name} is gone")
            else:
                self._schema(f"{where}.{name}", schema, after[name], sent=sent)
        demanded_before, demanded_after = set(old.get("required", [])), set(new.get("required", []))
        if sent:
            new_demands = sorted(demanded_after - demanded_before)
            self.breaking += [f"{where}.{name} is demanded now" for name in new_demands]
        else:
            kept = sorted((demanded_before - demanded_after) & after.keys())
            self.breaking += [f"{where}.{name} may be missing now" for name in kept]

    def _bounds(self, where: str, old: Json, new: Json) -> None:
        lost = [value for value in old.get("enum", []) if value not in new.get("enum", [value])]
        tighter = [word for word in UPPER if word in new and new[word] < old.get(word, float("inf"))]
        tighter += [word for word in LOWER if word in new and new[word] > old.get(word, float("-inf"))]
        if "pattern" in new and new["pattern"] != old.get("pattern"):
            tighter.append("pattern")
        if "enum" in new and "enum" not in old and "const" not in old:
            tighter.append("enum")
        self.breaking += [f"{where}: {value!r} is no longer taken" for value in lost]
        self.breaking += [f"{where}: {word} is tighter than before" for word in tighter]


def _resolve(schema: Json, document: Json) -> Json:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _flatten(schema: Json, document: Json) -> Iterator[Json]:
    choices = schema.get("anyOf") or schema.get("oneOf")
    if not choices:
        yield schema
        return
    for one in choices:
        yield from _flatten(_resolve(one, document), document)


def _kind_of(schema: Json) -> str:
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    names = {bool: "boolean", str: "string", int: "integer", float: "number", type(None): "null"}
    return names.get(type(values[0]), "any") if values else "any"


def _names(kinds: dict[str, Json]) -> str:
    return " or ".join(sorted(kinds)) or "nothing"
