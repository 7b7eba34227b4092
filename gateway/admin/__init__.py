"""OPERATORS: what may be asked and changed while the gateway runs? The admin API, in the control process alone.

This package imports no library, so that its settings cost a worker nothing.
"""
