"""The sitting: what is open, what was found, what the reader did. No window system, no renderer."""
