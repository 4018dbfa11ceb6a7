"""What every channel sends with: the message, where it goes, and one HTTP call with a deadline."""
