"""Working sets: what somebody needs to go on with a thread, by sections, within a budget of tokens.

In go a user, a thread and a purpose; out come entries that each name the items they stand on. Nothing is invented to
fill a section.
"""
