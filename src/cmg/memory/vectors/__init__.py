"""Stored vectors: which turns still need one, what is embedded with them, and by which model a user is searched.

Turns and items come in through the queue that storing them fills; vectors go into `memory_vectors`, where the search
reads them.
"""
