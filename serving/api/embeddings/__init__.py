"""OpenAI's POST /v1/embeddings, which a model that generates text refuses."""
