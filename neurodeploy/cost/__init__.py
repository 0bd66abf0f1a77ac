"""Counts, energy and latency estimates from traces and a hardware profile."""
