"""What the usage rows add up to, by key, workspace, user, model, tag and day, as values, JSON and CSV.

A request (period, groups, filters) and the workspaces its caller may see enter; a report leaves.
"""
