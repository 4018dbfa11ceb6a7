"""Who asks over HTTP: the client's address and whether it speaks TLS, as trusted proxies or the connection tell."""

import ipaddress

from cmg.kit.asgi import Scope


class Visitors:
    """`trusted` are the CIDRs of proxies whose word is taken for what is before them."""

    def __init__(self, trusted: list[str]) -> None:
        self._trusted = [ipaddress.ip_network(one, strict=False) for one in trusted]

    def address(self, scope: Scope) -> str:
        """The peer's address; a trusted proxy's word is taken for the address before it, from the right."""
        peer: str = (scope.get("client") or ("127.0.0.1", 0))[0] or "127.0.0.1"
        if not self._trusted or not self._is_trusted(peer):
            return peer
        told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        for hop in reversed([part.strip() for part in told.split(",") if part.strip()]):
            if not _is_address(hop):
                break
            peer = hop
            if not self._is_trusted(hop):
                break
        return peer

    def encrypted(self, scope: Scope) -> bool:
        """Whether the client speaks TLS: to us, or to the trusted proxy before us."""
        here = scope.get("scheme") in {"https", "wss"}
        if not self._trusted or not self._is_trusted((scope.get("client") or ("", 0))[0]):
            return here
        told = next((value for name, value in scope["headers"] if name == b"x-forwarded-proto"), b"")
        return told.rpartition(b",")[2].strip().lower() == b"https" or here

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
