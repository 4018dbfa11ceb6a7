"""The public status page: components with 90 days of history, incidents, maintenances, feeds, Statuspage's JSON.

What is known is rendered into one file on disk; every process of the machine answers from that file alone, so the page
stays when the database or backstage is away, and says how old it is.
"""
