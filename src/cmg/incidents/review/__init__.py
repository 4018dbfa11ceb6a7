"""What is learnt of an incident: the post-mortem document with its plots, action items tracked to done, and figures.

Incidents, their timelines and samples of metrics enter; Markdown, SVG and figures leave.
"""
