"""GET /v1/usage: what each API key has used."""
