"""NOW: which backends are configured, and in what state each of them is."""
