"""POST /tokenize, with vLLM's bodies."""
