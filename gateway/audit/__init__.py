"""Who asked what, and what was answered? The audit trail: a record of each request, in files of its own."""
