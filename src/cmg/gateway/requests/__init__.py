"""What clients send: decoded as far as we look at it, checked, and written again with every other byte kept.

A body and headers enter; a `ChatRequest` or `EmbeddingsRequest` leaves, or an error that names the field.
"""
