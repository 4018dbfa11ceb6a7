"""Groups of alerts that become incidents, by rule.

Groups enter as alerting keeps them; they open an incident, join one that is open, or are left to the pager alone.
"""
