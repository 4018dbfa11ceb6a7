"""Items with a history: memories that callers wrote, facts drawn from turns, versions, salience and feedback.

A current version keeps its id; what it was before lies in rows of their own, found only by `as_of` and in its history.
"""
