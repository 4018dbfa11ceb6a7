"""How bytes get to an upstream and back: HTTP clients behind one `Transport` protocol.

A method, a URL, headers and a body enter. A status, headers and a body in pieces leave, or one of the
`TransportError`s, each of which says whether the request may have reached the upstream.
"""
