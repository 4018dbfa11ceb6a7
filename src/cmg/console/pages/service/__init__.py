"""The service itself: its models, its settings, its background work."""
