"""Where each setting's value came from, for whoever asks the running service."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from cmg.config.settings import Part, Settings

Kind = Literal["default", "file", "environment", "secret_file", "command_line"]
Shown = Literal["wholly", "place", "never"]


class Origin(msgspec.Struct, frozen=True):
    """`place`: file and line, the variable, or the file that held a secret."""

    kind: Kind = "default"
    place: str = ""


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and by dotted name (`upstreams[0].retries`) where those that are no default came from."""

    settings: Settings
    origins: dict[str, Origin]


class Leaf(msgspec.Struct, frozen=True):
    """One setting: its dotted name, the same without numbers (`upstreams[].retries`), its value and its default.

    `shown`: wholly, the `place` of a URL without its user, password and query, or never.
    """

    name: str
    kind: str
    value: Any
    default: Any
    shown: Shown = "wholly"


def leaves(part: Part, before: str = "", kind: str = "") -> Iterator[Leaf]:
    """Every setting of these tables, in their order; an empty list of tables is one leaf."""
    for field in msgspec.structs.fields(part):
        value, name, its = getattr(part, field.name), before + field.name, kind + field.name
        if isinstance(value, Part):
            yield from leaves(value, f"{name}.", f"{its}.")
        elif isinstance(value, list) and value and isinstance(value[0], Part):
            for number, one in enumerate(value):
                yield from leaves(one, f"{name}[{number}].", f"{its}[].")
        else:
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            shown = None if default is msgspec.NODEFAULT else default
            yield Leaf(name, its, value, shown, shown_of(field.type))


def shown_of(annotation: Any) -> Shown:
    """What `Secret` and `SecretUrl` say of a field."""
    found: list[Shown] = []
    if get_origin(annotation) is Annotated:
        notes = (note.extra for note in annotation.__metadata__ if isinstance(note, msgspec.Meta))
        found += [extra["shown"] for extra in notes if extra and "shown" in extra]
    found += [shown_of(one) for one in get_args(annotation) if not isinstance(one, msgspec.Meta)]
    return next((one for one in found if one != "wholly"), "wholly")


def at(tree: Mapping[str, Any], name: str) -> Any:
    """What a file's tree holds under a dotted name; None: nothing."""
    found: Any = tree
    for word in name.replace("[", ".[").split("."):
        try:
            found = found[int(word[1:-1])] if word.startswith("[") else found[word]
        except (KeyError, IndexError, TypeError):
            return None
    return found
