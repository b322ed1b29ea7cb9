"""Weights: from a source (presets.weights_source) to a checked local directory of safetensors.

Runs where the model runs. `python -m serving.weights SOURCE` does the same from a command line.
"""
