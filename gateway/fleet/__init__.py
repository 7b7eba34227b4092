"""MODELS: which models there are now: the settings' own, and those that the admin API has made, as one fleet."""
