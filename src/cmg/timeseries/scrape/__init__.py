"""Asking targets for their metrics at a steady pace, and saying so when they do not answer.

Target settings enter; samples leave, with `up` and the markers of series that ended.
"""
