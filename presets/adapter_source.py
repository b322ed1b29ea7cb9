"""The grammar of an adapter's source: where adapter_config.json and adapter_model.safetensors come from.

oci:REGISTRY/REPOSITORY[:TAG][@DIGEST]   an image as KAITO makes it, or an OCI artifact with the two files
hf:ORG/NAME[@REVISION]                   a repository on the Hugging Face hub (or the hub that HF_ENDPOINT names)
file:/ABSOLUTE/DIRECTORY                 a directory on the machine where the model runs, such as a mounted volume
"""

from __future__ import annotations

from dataclasses import dataclass

from presets.image_reference import ImageReference, image_meant, parse_image
from presets.weights_source import WeightsSource, parse_weights_source


@dataclass(frozen=True)
class AdapterSource:
    """A parsed source, in one spelling: an image, or a repository or directory as weights may come from."""

    at: ImageReference | WeightsSource

    def __str__(self) -> str:
        return f"oci:{self.at}" if isinstance(self.at, ImageReference) else str(self.at)


def parse_adapter_source(text: str) -> AdapterSource:
    """Parse a source; ValueError says in one sentence what the right form is.

    >>> str(parse_adapter_source("oci:registry.example.com/adapters/polite"))
    'oci:registry.example.com/adapters/polite:latest'
    >>> str(parse_adapter_source("hf:org/polite@v1"))
    'hf:org/polite@v1'
    """
    kind, _, rest = text.partition(":")
    match kind:
        case "oci":
            return AdapterSource(_image(rest))
        case "hf" | "file":
            return AdapterSource(parse_weights_source(text))
        case _:
            raise ValueError(f"an adapter's source begins with oci:, hf: or file:{_suggestion(text)}")


def _image(rest: str) -> ImageReference:
    image = parse_image(rest.removeprefix("//"))
    if image is None:
        raise ValueError(
            "an oci: source is oci:REGISTRY/REPOSITORY:TAG, such as oci:registry.example.com/adapters/polite:1.0"
        )
    return image


def _suggestion(text: str) -> str:
    """What was probably meant by a source without its kind."""
    if text.startswith("/"):
        return f"; for a directory write file:{text}"
    if image := image_meant(text):
        return f"; for an image write oci:{image}"
    try:
        return f"; for a repository on the hub write {parse_weights_source(f'hf:{text}')}"
    except ValueError:
        return ""
