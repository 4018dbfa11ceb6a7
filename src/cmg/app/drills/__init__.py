"""Game-days: a fault is put on in a running service, and the times until it is known, told and over are taken.

A scenario enters, measures beside their targets leave. Faults are those of `telemetry/faults`; load goes to the
simulator.
"""
