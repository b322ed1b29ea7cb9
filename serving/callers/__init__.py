"""Whom requests are answered for: API keys, what each may use, and what it has used. Knows neither HTTP nor engines."""
