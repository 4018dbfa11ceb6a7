"""Small things every room needs: time, ids, money, errors and the shape of a request.

Nothing here does I/O of its own or knows any other room. What enters and leaves are plain values.
"""
