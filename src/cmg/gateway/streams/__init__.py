"""Streams: every event looked at, its bytes passed on as they come, and no cut stream ever shown as a success.

Answers of upstreams enter; a whole stream leaves, or one that ends with an SSE `error` event and no `[DONE]`.
"""
