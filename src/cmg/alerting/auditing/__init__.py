"""Looks at the tables of alerting from outside the pager: what should have happened and did not is done, and counted.

Rows enter; findings leave as metrics, and what they are about as timers that are set, steps that are told, messages
that are sent.
"""
