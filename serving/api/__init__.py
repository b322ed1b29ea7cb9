"""The HTTP API: OpenAI's endpoints and the service's own, one folder an endpoint."""
