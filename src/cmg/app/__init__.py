"""The composition root: builds every part of a process, starts and stops the processes, and answers HTTP.

Settings enter. A supervisor runs gateways (the data plane, raw ASGI) and one backstage (the control plane, the
journal's drain, jobs); nothing outside this room knows how the parts are put together.
"""
