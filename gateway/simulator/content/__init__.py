"""What do the models say? Deterministic answers that make sense in a demo."""
