"""The pages in front of the session: plain forms that a small script posts to the control plane.

Signing in, another password, proving oneself again, invitations and resets set cookies or take passwords. So they
need no websocket and no framework, and run under a strict policy.
"""
