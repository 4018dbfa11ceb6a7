"""What every room emits with: instruments built from the catalogue, and structured logs.

Rooms take an `Instruments` in their constructor and ask it for a metric by name; nothing else imports
`prometheus_client`. What leaves is the exposition text and one JSON line per log record.
"""
