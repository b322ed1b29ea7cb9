"""OpenAI's POST /v1/completions."""
