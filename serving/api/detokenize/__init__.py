"""POST /detokenize, with vLLM's bodies."""
