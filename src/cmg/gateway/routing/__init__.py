"""Which upstreams may answer a model name, in which order, and what their catalogues say about models.

Settings and synced catalogues enter; a list of `Candidate`s leaves, or an error that says why nobody serves the name.
"""
