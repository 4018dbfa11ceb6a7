"""The memory's HTTP API in plain values: what requests may say, what answers hold, and how one becomes the other.

JSON decoded into structs comes in, messages and searches go on into the room; hits come back and become items.
"""
