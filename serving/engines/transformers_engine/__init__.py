"""Continuous batching over any decoder-only causal language model of transformers, with transformers' own modules.

Synchronous and free of asyncio: `serving.engines.process` runs it in a process of its own. One step is one forward of
shape (1, rows): each decoding sequence gives one row, prompts give chunks, and the attention function of
`attention.py` reads and writes a key-value cache that belongs to the engine.
"""
