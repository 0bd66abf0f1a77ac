"""NIR in: safe reading, validation, and the execution contract a NIR file lacks."""
