"""Readers for public collections in the layouts in which they are published."""
