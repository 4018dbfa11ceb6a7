"""Notes for calls: made by a process of their own, so that ranking takes no time from the calls of a gateway."""
