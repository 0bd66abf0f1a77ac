"""neurodeploy: put robust spiking networks on Loihi's fixed point and check what survives."""

__version__ = "0.1.0"
