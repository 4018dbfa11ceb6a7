"""What stands for the older part of a long conversation: a running summary, and quotes that fit the question.

Turns enter, lines of a note leave. The summary is kept for each thread, renewed in the background as the thread grows,
and made on the spot from what a call leaves out while there is none.
"""
