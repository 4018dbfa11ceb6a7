"""On-call: who is on call, standing in for somebody, and calendars of it."""
