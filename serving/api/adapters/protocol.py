"""The wire of the endpoints that load and unload adapters: vLLM's bodies, extensions last."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from presets.serve_config import DEFAULT_RANK, AdapterRank
from serving.api.fields import AdapterStrength, ApiModel, Text

# Part of model ids and of the cache's file names.
AdapterName = Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$")]


class LoadAdapterRequest(ApiModel):
    lora_name: AdapterName
    lora_path: Annotated[Text, Field(min_length=1, max_length=4096)]
    """oci:REGISTRY/REPOSITORY:TAG, hf:ORG/NAME[@REVISION] or file:/DIRECTORY; as in vLLM also
    /DIRECTORY or ORG/NAME."""
    load_inplace: bool | None = None
    """True: put it in the place of one of that name."""
    strength: AdapterStrength | None = None
    rank: AdapterRank = DEFAULT_RANK
    """Largest rank that is accepted; the memory for it is not planned."""

    def source(self) -> str:
        if self.lora_path.startswith(("oci:", "hf:", "file:")):
            return self.lora_path
        return f"file:{self.lora_path}" if self.lora_path.startswith("/") else f"hf:{self.lora_path}"


class UnloadAdapterRequest(ApiModel):
    lora_name: AdapterName
    lora_int_id: int | None = None
    """Accepted without effect, as in vLLM."""
