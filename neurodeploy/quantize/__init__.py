"""From a float network to Loihi's integers."""
