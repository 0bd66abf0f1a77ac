"""Norse cells: LIF and DLIF, and their time loop."""
