"""BODIES: what a request asks for and an answer states, without parsing more than that."""
