"""Finds processes that live and do nothing, as one that was stopped or waits for ever.

A process' event loop writes to a pipe as often as it comes round; the supervisor reads it, and looks at what the
process does when nothing comes.
"""
