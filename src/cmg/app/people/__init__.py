"""The part of the service that knows people, put together."""
