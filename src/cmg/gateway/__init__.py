"""The data plane: admit, recall, route, call, stream, record.

An authenticated OpenAI request enters as raw ASGI; the answer of an upstream (or of the simulator) leaves, byte for
byte but for what the contract adds. Memory, limits and the ledger are reached through ports and constructor arguments.
"""
