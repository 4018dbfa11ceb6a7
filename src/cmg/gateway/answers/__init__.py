"""Answers kept to be given again: to a repeated `Idempotency-Key`, and from the exact response cache of a key.

Whole answers as they went to the client enter and leave; nothing here calls an upstream or counts a cost.
"""
