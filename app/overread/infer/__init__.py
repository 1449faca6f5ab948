"""Models: what they say of themselves, what runs them, in which order, and what comes back."""
