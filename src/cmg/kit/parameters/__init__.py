"""What callers send, in query strings and bodies: values within bounds leave, or errors that name a field."""
