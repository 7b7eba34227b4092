"""Which metric families are there? All that the subjects' tables declare; nothing else is counted or shown."""

from gateway.observability.families import (
    backends,
    books,
    cached,
    hosts,
    limits,
    processes,
    requests,
    stores,
    streams,
)
from gateway.observability.families.family import Family

SUBJECTS = (requests, streams, limits, cached, backends, processes, stores, books, hosts)
"""In the order in which `/metrics` has them."""

CATALOGUE = tuple(value for subject in SUBJECTS for value in vars(subject).values() if isinstance(value, Family))
