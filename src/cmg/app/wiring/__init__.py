"""Builds everything, in order: each resource is registered with its close and its probe as it is made.

One module a process, and nothing here: a process loads only what it runs.
"""
