"""Lava processes and models; imports lava and numpy only."""
