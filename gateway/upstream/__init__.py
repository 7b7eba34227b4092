"""THE WIRE: how do bytes get to a backend and back? The only room that knows sockets and HTTP to vLLM."""
