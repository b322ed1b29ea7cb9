"""Measures what users feel: how fast tokens come, and how long it is until the first one.

`python -m benchmarks` runs beside Pulumi (.venv); what it measures runs in .venv-serving. docs/benchmarks.md says what
each quantity means.
"""
