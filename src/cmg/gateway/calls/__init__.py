"""Asking upstreams: which failures are worth another try, where and when, and what the client hears in the end.

Candidates and a body enter; an answer that is whole and well-formed leaves, or one error for all attempts.
"""
