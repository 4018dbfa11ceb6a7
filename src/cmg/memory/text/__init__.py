"""Texts as the memory sees them: cleaned, cut into passages, taken apart into words, quoted in a note.

Pure functions without I/O; what enters and leaves are strings and numbers.
"""
