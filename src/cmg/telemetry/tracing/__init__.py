"""What requests and jobs leave behind of their course: moments on the hot path, a record only when it is worth keeping.

A `Trace` takes times while a request runs; a `Tracer` decides at its end whether they are kept, and puts the record
into an `Outbox`, which sends it to backstage. Spans are made there, by the room `traces`.
"""
