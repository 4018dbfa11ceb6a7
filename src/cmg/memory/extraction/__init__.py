"""Facts drawn from what was said, in the background: by patterns without a model, and by a chat model if one is set.

In go a thread's new turns, out come items with a verbatim quote. Each thread is worked on by one process at a time, and
remembers how far it was read: a kill loses nothing and doubles nothing.
"""
