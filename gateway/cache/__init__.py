"""SAID BEFORE: answers that are given again, and identical requests that run once over all workers of a host."""
