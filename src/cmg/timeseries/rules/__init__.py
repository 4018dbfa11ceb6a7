"""Rule files as Prometheus reads them, and what their rules give at a moment: samples to keep and states of alerts.

Texts and moments enter, plain values leave: no clock, no loop, no database. Who evaluates decides when, where
expressions are asked, and what becomes of an alert.
"""
