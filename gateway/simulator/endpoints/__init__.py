"""What does each path answer? A file per family; `routes` is the table of them all."""
