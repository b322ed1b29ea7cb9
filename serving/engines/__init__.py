"""Engines: token ids in, token ids out. An engine knows no HTTP, no Ray and no text.

`protocol.py` is what the API depends on; each engine has its own module or folder beside it.
"""
