"""Weights: from a source (presets.weights_source) to a checked local directory of safetensors.

Runs where the model runs. `python -m serving.weights SOURCE` does the same from a command line. Importing this package
loads neither torch nor transformers; conversion from GGUF runs in a process of its own.

    WeightsError        a StartupFailure; its reasons stand in serving/weights/errors.py
    ensure()            source -> ResolvedWeights, fetched, converted and checked as needed
    Progress            what ensure() tells while it works
"""

from serving.weights.ensure import ensure
from serving.weights.errors import WeightsError
from serving.weights.model import Progress, ResolvedWeights

__all__ = ["Progress", "ResolvedWeights", "WeightsError", "ensure"]
