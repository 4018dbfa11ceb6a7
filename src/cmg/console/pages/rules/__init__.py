"""Rules that the workspace owns: all of them, and how one stands."""
