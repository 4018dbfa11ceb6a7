"""Schedules as iCalendar feeds, one address for each subscription.

A token enters; the shifts of a schedule or a person, within a window of time, leave as RFC 5545.
"""
