"""Robust training in Norse on bundled data."""
