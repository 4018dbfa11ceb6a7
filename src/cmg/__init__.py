"""Context Memory Gateway: the LLM gateway that remembers, counts what everything costs, and watches over itself.

Each sub-package is a room of the house; `docs/adr/0001-house.md` names the floors and what may import what.
"""

__version__ = "0.1.0"
