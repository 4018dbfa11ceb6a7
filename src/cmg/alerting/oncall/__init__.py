"""Who is on call at a moment: rotations, overrides, business days; pure functions of documents and a time."""
