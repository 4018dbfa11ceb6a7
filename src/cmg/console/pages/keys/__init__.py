"""API keys: the list, one key, and what is done with it."""
