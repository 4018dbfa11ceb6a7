"""How a log line is born and leaves a process: its request, what is taken out of it, and the way it is written.

Records of structlog and of the standard library enter. One JSON line each goes to standard error and into the machine's
spool of lines, by a thread of its own behind a bounded queue: whoever logs waits for nobody.
"""
