"""The services that Modelyard is measured beside, and how each is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import llama_server, transformers_serve, vllm_cpu
from benchmarks.service import LLAMA, TRANSFORMERS, VLLM, Service

Start = Callable[[Path, Sequence[Path]], AbstractContextManager[Service]]
"""With the directories of the weights and of adapters; the service's first target is the model itself."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another server of the same weights."""

    name: str
    start: Start
    parameters: Callable[[], Mapping[str, object]]
    adapters: Sequence[int]
    """How many at once it is measured with; none if it serves no adapters."""


PEERS: Mapping[str, Peer] = {
    "vllm": Peer(name=VLLM, start=vllm_cpu.running, parameters=vllm_cpu.parameters, adapters=(4, 16)),
    # Each request with another adapter than the last one's waits for its turn, so more of them tell nothing new.
    "llama-server": Peer(name=LLAMA, start=llama_server.running, parameters=llama_server.parameters, adapters=(4,)),
    "transformers": Peer(
        name=TRANSFORMERS,
        start=lambda weights, _adapters: transformers_serve.running(weights),
        parameters=transformers_serve.parameters,
        adapters=(),
    ),
}
"""By the names of the command line."""


def parameters(names: Sequence[str]) -> dict[str, object]:
    """For a report: how the chosen ones were run."""
    return {"peers": {PEERS[name].name: PEERS[name].parameters() for name in names}}
