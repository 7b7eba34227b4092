"""What if the gateway runs on several hosts? The limits' state in a Valkey or Redis server that all of them share."""
