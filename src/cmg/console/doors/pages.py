"""Each door: what it asks for, where that is posted, and how it looks as HTML."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from markupsafe import Markup

LOGIN, PASSWORD, CONFIRM = "/login", "/password", "/confirm"


@dataclass(frozen=True)
class Field:
    """One input; `kind` and `complete` are HTML's `type` and `autocomplete`. `later`: shown once it is asked for."""

    name: str
    label: str
    kind: str = "password"
    complete: str = "off"
    help: str = ""
    later: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Door:
    """A form. `posts` is a path of the control plane; `signed_in`: it needs the session and its token against forgery.

    `token`: the address behind `#` holds a link's token, which is sent along.
    """

    title: str
    lead: str
    posts: str
    button: str
    fields: tuple[Field, ...]
    after: str = "/"
    signed_in: bool = False
    token: bool = False
    oidc: bool = False
    done: str = ""
    notes: tuple[Markup, ...] = field(default=())


_EMAIL = Field("email", "E-mail address", "email", "username")
_NEW = Field("password", "New password", "password", "new-password", "Length counts; words, names and dates do not.")
_LOGIN_NOTES = (
    Markup('<a href="/forgotten">Forgot your password?</a>'),
    Markup(
        "First time here? At its first start, <code>cmg serve</code> printed the administrator's address and a "
        "one-time password."
    ),
)

_ALL: dict[str, Door] = {
    LOGIN: Door(
        "Sign in",
        "",
        "/admin/v1/login",
        "Sign in",
        (
            _EMAIL,
            Field("password", "Password", "password", "current-password"),
            Field("code", "Code of your device, or a recovery code", "text", "one-time-code", later=True),
        ),
        oidc=True,
        notes=_LOGIN_NOTES,
    ),
    PASSWORD: Door(
        "Change your password",
        "Your other sessions end.",
        "/admin/v1/me/password",
        "Change password",
        (
            Field("current", "Present password", "password", "current-password"),
            Field("new", "New password", "password", "new-password", _NEW.help),
        ),
        signed_in=True,
        notes=(Markup('<a href="/login">Sign in as somebody else</a>'),),
    ),
    CONFIRM: Door(
        "Is it you?",
        "This session goes on from another place or browser. Confirm the password before you change anything.",
        "/admin/v1/me/confirm",
        "Confirm",
        (
            Field("password", "Password", "password", "current-password"),
            Field("code", "Code of your device, if you have set one up", "text", "one-time-code", "", optional=True),
        ),
        signed_in=True,
    ),
    "/invitation": Door(
        "Welcome",
        "Choose a password for your account.",
        "/admin/v1/invitations/accept",
        "Create account",
        (Field("name", "Your name", "text", "name", optional=True), _NEW),
        after=LOGIN,
        token=True,
    ),
    "/reset": Door(
        "A new password",
        "All your sessions end.",
        "/admin/v1/password/reset",
        "Set password",
        (_NEW,),
        after=LOGIN,
        token=True,
    ),
    "/forgotten": Door(
        "Forgot your password?",
        "An administrator sees your request and hands you a link.",
        "/admin/v1/password/forgotten",
        "Ask for a link",
        (_EMAIL,),
        after="",
        done="If there is such an account, an administrator was told.",
        notes=(Markup('<a href="/login">Back</a>'),),
    ),
}

_PAGE = Markup("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} · Context Memory Gateway</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/door.css">
<script src="/static/door.js" defer></script></head>
<body><main><img src="/static/icon.svg" alt="" width="40" height="40"><p class="product">Context Memory Gateway</p>
<h1>{title}</h1><p>{lead}</p>
<p id="problem" role="alert" hidden></p><p id="done" role="status" hidden>{done}</p>
<form method="post" data-posts="{posts}" data-after="{after}" data-signed-in="{signed_in}" data-token="{token}">{whose}
{fields}
<button type="submit">{button}</button></form>{oidc}{notes}</main></body></html>
""")
_INPUT = Markup(
    '<p class="field"{later}><label for="{name}">{label}</label><input id="{name}" name="{name}" type="{kind}" '
    'autocomplete="{complete}" autocapitalize="none" spellcheck="false"{required}{described}>{help}</p>'
)
# Password managers ask whose password it is; the script puts the address of who is signed in here.
_WHOSE = Markup('<input id="whose" type="text" autocomplete="username" readonly hidden>')
_OIDC = Markup(
    '<p id="oidc" hidden><a class="button" href="/admin/v1/login/oidc">Sign in with your organisation</a></p>'
)


def _input(one: Field) -> Markup:
    hint = Markup('<small id="{}-help">{}</small>').format(one.name, one.help) if one.help else ""
    return _INPUT.format(
        name=one.name,
        label=one.label,
        kind=one.kind,
        complete=one.complete,
        later=Markup(" hidden data-later") if one.later else "",
        required="" if one.later or one.optional else Markup(" required"),
        described=Markup(' aria-describedby="{}-help"').format(one.name) if one.help else "",
        help=hint,
    )


def _joined(pieces: Iterable[Markup]) -> Markup:
    return Markup("").join(pieces)


def _html(door: Door) -> str:
    return _PAGE.format(
        title=door.title,
        lead=door.lead,
        posts=door.posts,
        after=door.after,
        signed_in=int(door.signed_in),
        token=int(door.token),
        button=door.button,
        done=door.done,
        whose=_WHOSE if door.signed_in else "",
        fields=_joined(_input(one) for one in door.fields),
        oidc=_OIDC if door.oidc else "",
        notes=_joined(Markup('<p class="note">{}</p>').format(one) for one in door.notes),
    )


DOORS: dict[str, str] = {path: _html(door) for path, door in _ALL.items()}
