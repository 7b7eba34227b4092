"""SHAPED: what a model's card makes of a request: parameters, a system prompt's beginning, how it is to think."""
