"""Overread: models read first, a person over-reads. Not for clinical use."""

__version__ = "0.1.0"
