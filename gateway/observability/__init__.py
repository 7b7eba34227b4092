"""SAYS: metrics, logs, and everything else an operator reads."""
