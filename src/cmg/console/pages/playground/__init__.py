"""Playground: one question, answered with memory and without it, side by side, as the answers come."""
