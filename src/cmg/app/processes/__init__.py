"""The processes of one machine: a supervisor, its gateways, its backstage, and how they hear of each other.

A child reads its orders from standard input and goes when that ends, so no child outlives its supervisor.
"""
