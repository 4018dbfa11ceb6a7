"""What callers ask of lists in query strings: texts enter, values within bounds leave, or errors that name a field."""
