"""What people say of alerts, useful or noise, and what came of each rule: how often it fired, and whether it mattered.

Verdicts enter, with who and when; a report by rule leaves.
"""
