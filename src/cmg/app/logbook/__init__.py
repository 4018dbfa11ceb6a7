"""The logbook put together for the processes of the service: its stores, its jobs and its routes.

A database and the settings enter; what leaves are the use cases that routes, jobs and the command line call.
"""
