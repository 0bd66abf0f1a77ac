"""The host's side of Lava: the isolated runtime and its worker."""
