"""GET /health, /ready, /metrics and /version."""
