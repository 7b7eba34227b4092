"""DURABLE: what must outlive every process: keys, organizations, models, backends, usage and the audit trail.

Only the control process and the command line open a database; this package imports no library, so that its settings
cost a worker nothing.
"""
