"""What does a request cost? The gateway beside nginx and the Rust routers, before a model server that does no work."""
