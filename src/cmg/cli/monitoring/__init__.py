"""Commands about what the service sees of itself: rules, alerts, and files for others' programs."""
