"""WORDS: what every room speaks in. Imports nothing else of the gateway."""
