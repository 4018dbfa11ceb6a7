"""For which users a caller may speak, wherever a request names one.

A caller, a user's id and perhaps a signed token enter; nothing or `Forbidden` leaves.
"""
