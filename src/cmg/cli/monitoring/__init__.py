"""Commands about what the service sees of itself: rules and alerts."""
