"""Signing in with an identity provider (OpenID Connect: code flow with PKCE, nonce and state).

A browser that comes back from the provider enters; an account with the role that the provider's claims map to leaves.
"""
