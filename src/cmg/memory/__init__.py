"""Remembers what people and assistants said, and finds what fits the present question.

Turns come in through the gateway's journal (`MemoryService.remember`, `TurnSink`) or `POST /v1/ingest`; notes for the
next call and items of `POST /v1/recall` go out. Everything is kept and searched per user of one workspace.
"""
