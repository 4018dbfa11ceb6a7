"""The memory as tools for agents, over the Model Context Protocol (streamable HTTP at `/mcp`).

Calls of checked callers come in; the same use cases as behind `/v1/memories` do the work; results and errors that a
model can read go out. No session is kept: any request can be answered by any process.
"""
