"""What can go wrong with the catalog? One failure, whose reason is for the log."""


class CatalogUnavailableError(Exception):
    """It cannot be read, or was never published; or it cannot be written, and stands as it did."""
