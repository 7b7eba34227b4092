"""TRACED: what became of a request, as spans of the trace that its client began, or that begins here."""
