"""Who may do what: workspaces, API keys, and the snapshot that answers it without a database call.

Administrative changes enter through use cases (each one audited and announced); an `Authenticator` turns the
headers of a request into a `Caller`. Secrets leave once, at creation; only their hashes are kept.
"""
