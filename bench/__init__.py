"""What does a request cost? The gateway beside nginx and the Rust routers, in front of a model server that does no work."""
