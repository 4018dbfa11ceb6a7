"""The memory's parts that need other rooms: who embeds, and what people and operators do with what is remembered.

Settings and the process's database enter; use cases, their paths and embedders leave.
"""
