"""Rule tests in promtool's format, run on the embedded evaluator: a file enters, what differs from it leaves."""
