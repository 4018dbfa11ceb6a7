"""What people configure: silences, schedules, policies, channels and the like as documents, checked and compiled."""
