"""In which words do workers and the control process speak? What both sides of their socket must spell alike."""

from typing import Final

PRINCIPAL_HEADER: Final = b"x-gateway-principal"
"""For whom a request counts, as JSON: `organization`, and `key_id`, empty without one.

A worker writes it, and drops what a client sent under this name; the control process believes it.
"""
MAX_BODY_BYTES: Final = 262_144
"""A model's prompt prefix is the longest thing that anybody has to say to the admin API."""
SPLIT_NOTICE: Final = "split"
"""The file beside the socket that names the hosts which grant the same limits once more."""
