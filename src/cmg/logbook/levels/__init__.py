"""Levels of loggers while the service runs: set by an administrator, told to every machine, kept over restarts.

A logger's name and a level enter; a file leaves that every process of the machine follows within a second.
"""
