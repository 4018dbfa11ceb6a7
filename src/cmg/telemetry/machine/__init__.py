"""Figures of one process and of its machine, read in the background at an interval, never within a call.

`psutil` and the kernel's files enter; gauges and counters of the catalogue leave. What a machine does not tell
(another system, no container) is left out.
"""
