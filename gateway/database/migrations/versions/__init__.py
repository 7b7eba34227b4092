"""A file each, which is never changed once it was released."""
