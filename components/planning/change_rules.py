"""What a change of each setting does to a workspace that runs: the one table, for every target.

In place: running replicas take it over, no request is lost. Replicas: some are added or taken away, the others stay.
New replicas: the model is loaded again. New nodes: the old ones are replaced, and the replicas with them. New job: the
tuning runs again. Refused: remove the workspace and make another, or give the new one another name.
"""

from __future__ import annotations

from enum import Enum

CREATE = "create"
DELETE = "delete"
NO_CHANGE = "no change"


class Effect(Enum):
    """In the order of what they cost."""

    NOTHING = 0
    IN_PLACE = 1
    REPLICAS = 2
    NEW_REPLICAS = 3
    NEW_JOB = 4
    NEW_NODES = 5
    REFUSED = 6


RULES: dict[str, Effect] = {
    "adapters": Effect.IN_PLACE,
    "sampling": Effect.IN_PLACE,
    "maxWaitingRequests": Effect.IN_PLACE,
    "requestTimeoutSeconds": Effect.IN_PLACE,
    "apiKeys": Effect.IN_PLACE,
    "loadBalancer": Effect.IN_PLACE,
    "replicas": Effect.REPLICAS,
    "preset": Effect.NEW_REPLICAS,
    "weights": Effect.NEW_REPLICAS,
    "trust_remote_code": Effect.NEW_REPLICAS,
    "engine": Effect.NEW_REPLICAS,
    "dtype": Effect.NEW_REPLICAS,
    "quantization": Effect.NEW_REPLICAS,
    "maxContext": Effect.NEW_REPLICAS,
    "maxSequences": Effect.NEW_REPLICAS,
    "vllm": Effect.NEW_REPLICAS,
    "parallelism": Effect.NEW_REPLICAS,
    "template": Effect.NEW_REPLICAS,
    "threads": Effect.NEW_REPLICAS,
    "CPUs": Effect.NEW_REPLICAS,
    "GPUs": Effect.NEW_REPLICAS,
    "serving code": Effect.NEW_REPLICAS,
    "image": Effect.NEW_REPLICAS,
    "adapter slots": Effect.NEW_REPLICAS,
    # Of modelyard:kubernetes and of presetOptions, what stands in the pods; adapters' volumes and logins too.
    "pod settings": Effect.NEW_REPLICAS,
    "instanceType": Effect.NEW_NODES,
    "spot": Effect.NEW_NODES,
    "labelSelector": Effect.NEW_NODES,
    "preferredNodes": Effect.NEW_NODES,
    "partition": Effect.NEW_NODES,
    "imageFamily": Effect.NEW_NODES,
    "nodeClass": Effect.NEW_NODES,
    "namespace": Effect.NEW_NODES,
    "method": Effect.NEW_JOB,
    "tuning config": Effect.NEW_JOB,
    "input": Effect.NEW_JOB,
    "output": Effect.NEW_JOB,
    "evaluation": Effect.NEW_JOB,
    "seed": Effect.NEW_JOB,
    "maxSteps": Effect.NEW_JOB,
    "packing": Effect.NEW_JOB,
    "kind": Effect.REFUSED,
    # Follow from the settings above, which tell the reason.
    "nodes": Effect.NOTHING,
    "perHour": Effect.NOTHING,
    "currency": Effect.NOTHING,
    # Counts when weights are fetched the next time.
    "modelAccessSecret": Effect.NOTHING,
    # Counts when a tuning is ended before it is done.
    "resume": Effect.NOTHING,
}
"""KAITO refuses changes of preset, instanceType, labelSelector, partition and tuning's preset and method
(api/v1beta1/workspace_validation.go); here they are replacements, which the plan announces. A workspace that serves
cannot become one that tunes, nor the other way round, in both."""


def effect_of(setting: str) -> Effect:
    """Of a change of one setting, by its name here; settings below one of the table's share its rule.

    >>> effect_of("sampling.temperature"), effect_of("preset")
    (<Effect.IN_PLACE: 1>, <Effect.NEW_REPLICAS: 3>)
    """
    return RULES[setting.partition(".")[0]]
