"""One engine, two number systems: float and fixed point."""
