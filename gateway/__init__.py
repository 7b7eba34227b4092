"""An OpenAI-compatible gateway in front of a small fleet of vLLM servers."""
