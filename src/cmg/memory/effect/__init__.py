"""Whether what is remembered is of use: notes are compared with the answers that they were given for.

Records of the journal enter, counts by workspace and day leave, beside calls that went without memory.
"""
