"""SHARED: limiter and lease state, exact over all workers, behind one Protocol with one contract suite."""
