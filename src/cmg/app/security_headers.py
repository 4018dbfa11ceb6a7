"""The headers that every answer of the service carries, so that a browser does with it nothing but show it."""

from cmg.kit.asgi import Headers

# Nothing of an answer may run, load, be framed or be guessed at; pages of our own say what they need themselves.
_ALWAYS: Headers = [
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_ENCRYPTED: Headers = [*_ALWAYS, (b"strict-transport-security", b"max-age=31536000")]
_PRIVATE = (b"cache-control", b"no-store")
# What the page at /docs needs: its own scripts, and styles that the page's script sets.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


_CHOICES = {
    (encrypted, private): [*(_ENCRYPTED if encrypted else _ALWAYS), *([_PRIVATE] if private else [])]
    for encrypted in (False, True)
    for private in (False, True)
}


def protection(*, encrypted: bool, private: bool) -> Headers:
    """What the start of an answer carries unless it says otherwise itself; `private`: no cache may keep it."""
    return _CHOICES[encrypted, private]
