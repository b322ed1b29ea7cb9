"""The same facts from the Hugging Face hub, without fetching any weights.

huggingface_hub is imported when it is needed: it takes longer than all of presets. HF_ENDPOINT, HF_TOKEN, HF_HOME,
HF_HUB_CACHE and HF_HUB_OFFLINE mean what they mean to it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from presets.drafting.repository_files import (
    CONFIGS,
    INDEX,
    Facts,
    FactsError,
    from_snapshot,
    json_object,
    license_of,
    no_config,
    output_layer,
    read_headers,
    total_size,
    weight_files,
    weight_map,
    with_quantization,
)

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

TIMEOUT_SECONDS = 10

_NO_NETWORK = (
    "run python -m presets.add {name} --family where there is network and commit what it writes, or name a local "
    "directory instead"
)


def from_hub(repository: str, revision: str = "main") -> Facts:
    """The facts of a repository at the commit that `revision` names now; raises FactsError."""
    from huggingface_hub import HfApi, constants

    with _explained(repository, revision):
        info = HfApi(endpoint=constants.ENDPOINT).model_info(
            repository, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS
        )
        return _Repository(info, repository).facts()


def from_hub_cache(repository: str, revision: str = "main") -> Facts | None:
    """The same out of the hub's cache on this machine; None where it has not all that is needed."""
    from huggingface_hub import constants, errors, try_to_load_from_cache

    for name in CONFIGS:
        try:
            found = try_to_load_from_cache(repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision)
            if isinstance(found, str):
                return from_snapshot(Path(found).parent, repository)
        except (errors.HFValidationError, FactsError, OSError):
            # A name that the hub cannot have, files that are cut off, a cache of another user: the hub knows better.
            return None
    return None


class _Repository:
    """A repository at one commit, as the hub lists it."""

    def __init__(self, info: ModelInfo, name: str) -> None:
        self._info = info
        self._name = name
        self._sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        self._commit = info.sha or "main"

    def facts(self) -> Facts:
        config = next((self._json(name) for name in CONFIGS if name in self._sizes), None)
        if config is None:
            raise FactsError(no_config(self._sizes, self._name))
        index = self._json(INDEX) if INDEX in self._sizes else dict[str, Any]()
        chosen = weight_files(self._sizes, index, self._name)
        size = sum(self._sizes.get(name, 0) for name in chosen)
        if not all(self._sizes.get(name) for name in chosen):
            size = total_size(index)
        if not size:
            raise FactsError(f"{self._name}: the hub does not say how large {chosen[0]} is; name a local directory")
        if "hf_quant_config.json" in self._sizes and "quantization_config" not in config:
            config = with_quantization(config, self._json("hf_quant_config.json"))
        parameters, has_output_layer = self._tensors(chosen, index)
        return Facts(
            repository=self._name,
            config=config,
            weights_bytes=size,
            parameters=parameters,
            license=license_of(self._card()),
            gated=bool(self._info.gated),
            revision=self._commit,
            task=self._info.pipeline_tag or "",
            output_layer=has_output_layer,
            chat_template=self._chat_template(),
        )

    def _tensors(self, chosen: list[str], index: Mapping[str, Any]) -> tuple[int | None, bool | None]:
        """Parameters and whether there is an output layer: from the header of a single file, which is one request.

        Of many files the hub counts the parameters, and the index names the tensors.
        """
        if len(chosen) == 1:
            seen = read_headers([self._header(chosen[0])])
            return seen.parameters, seen.output_layer
        counted = self._info.safetensors
        by_type = counted.parameters if counted else dict[Any, int]()
        plain = bool(by_type) and by_type.keys() <= {"F64", "F32", "F16", "BF16"}
        return (sum(by_type.values()) if plain else None), output_layer(weight_map(index))

    def _header(self, name: str) -> Mapping[str, Any]:
        from huggingface_hub import HfApi, constants

        found = HfApi(endpoint=constants.ENDPOINT).parse_safetensors_file_metadata(
            self._name, name, revision=self._commit, timeout=TIMEOUT_SECONDS
        )
        return {tensor: {"dtype": info.dtype, "shape": info.shape} for tensor, info in found.tensors.items()}

    def _json(self, name: str) -> Mapping[str, Any]:
        from huggingface_hub import constants, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # pyright: ignore[reportUnknownVariableType]

        url = hf_hub_url(self._name, name, revision=self._commit, endpoint=constants.ENDPOINT)
        headers = build_hf_headers()
        response = get_session().get(url, headers=headers, timeout=TIMEOUT_SECONDS)
        hf_raise_for_status(response)
        return json_object(response.content, f"{name} of {self._name}")

    def _card(self) -> Mapping[str, Any]:
        card = self._info.card_data
        return cast("Mapping[str, Any]", card.to_dict()) if card is not None else {}

    def _chat_template(self) -> bool | None:
        if any(name.startswith("chat_template") for name in self._sizes):
            return True
        tokenizer = cast("Mapping[str, Any]", self._info.config or {}).get("tokenizer_config")  # pyright: ignore[reportUnknownMemberType]
        return (
            bool(cast("Mapping[str, Any]", tokenizer).get("chat_template")) if isinstance(tokenizer, Mapping) else None
        )


@contextmanager
def _explained(repository: str, revision: str) -> Generator[None]:
    """What the hub's client raises, as one sentence with the way out."""
    from huggingface_hub import constants, errors

    # The HTTP library that the hub's client uses, by the export that it keeps for this; today it is not the one that
    # `import httpx` gives, whose exceptions are other classes.
    from huggingface_hub.utils import httpx

    page = f"{constants.ENDPOINT}/{repository}"
    try:
        yield
    except errors.GatedRepoError:
        raise FactsError(
            f"{repository} is gated: accept its licence on {page} and set HF_TOKEN to a token of that account"
        ) from None
    except errors.RevisionNotFoundError:
        raise FactsError(f"{repository} has no revision {revision}; {page}/tree/main lists its branches") from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise FactsError(
            f"{repository} is not on {constants.ENDPOINT}, or it is private; check its spelling, or set HF_TOKEN"
        ) from None
    except (errors.NotASafetensorsRepoError, errors.SafetensorsParsingError):
        raise FactsError(f"{repository} has damaged safetensors; choose another revision") from None
    except (httpx.TransportError, errors.OfflineModeIsEnabled):
        way_out = _NO_NETWORK.format(name=repository)
        raise FactsError(f"{constants.ENDPOINT} is not in reach to describe {repository}; {way_out}") from None
    except errors.HfHubHTTPError as error:
        said = str(error).splitlines()[0]
        way_out = _NO_NETWORK.format(name=repository)
        raise FactsError(f"the hub answered for {repository}: {said}; try again later, or {way_out}") from None
