"""Carries notifications out: claims, sends, tries again, and falls to the next channel."""
