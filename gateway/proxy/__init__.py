"""CONDUCTOR: choose a backend, open, relay; retry before the first byte, and end the answer honestly."""
