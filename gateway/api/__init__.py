"""PATHS: which paths exist, and the gateway's own answers: models, probes, documentation."""
