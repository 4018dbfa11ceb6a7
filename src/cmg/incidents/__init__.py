"""Incidents from the first sign to the closed review, and the public status page.

Declarations, groups of alerts and markers of operation enter; a timeline, messages, checks, a post-mortem document and
the pages of `/status` leave. Incidents are the service's own and no workspace's: everything here needs `admin:all`.
"""
