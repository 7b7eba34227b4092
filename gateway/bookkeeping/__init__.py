"""BOOKS: what passes between the database and the workers, out and back: keys and limits, and what was used.

Only the control process runs this; of those of a host, the one that is on duty.
"""
