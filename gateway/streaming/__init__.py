"""BACK: what of a backend's stream may go to the client. Bytes in, bytes out, no I/O."""
