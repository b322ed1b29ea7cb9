"""`make import-kaito FILE=ws.yaml`: KAITO's manifests as the config of a stack, printed as YAML."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from components.manifest_files import manifest_files
from components.model_facts import MODELS_CACHE, described
from components.planning.errors import SpecError, printable
from components.planning.kaito.documents import ManifestFile
from components.planning.kaito.names import preset_names
from components.planning.kaito.read import read_manifests
from components.planning.spec import RawConfig, Surroundings, parse_spec
from presets.catalog import Models

_TARGET = "# kubernetes: a cluster that is there; aks: one that is made; local: this machine"


class _Dumper(yaml.SafeDumper):
    """Items of a list stand to the right of its key, and what is the same twice is written twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m components.import_kaito", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a YAML file, a folder, or a glob in quotes")
    parser.add_argument(
        "--existing-nodes", action="store_true", help="the GPU nodes are there already (KAITO's BYO nodes)"
    )
    given = parser.parse_args(arguments)
    if not any(given.files):
        sys.stderr.write("no file is named; write for example make import-kaito FILE=ws.yaml\n")
        return 1
    files: dict[str, ManifestFile] = {}
    for pattern in given.files:
        found = manifest_files(pattern, folder=Path.cwd())
        if not found:
            what = "no .yaml or .yml file in this folder" if Path(pattern).is_dir() else "no such file"
            sys.stderr.write(f"{printable(pattern)}: {what}; name a YAML file, a folder, or a glob in quotes\n")
            return 1
        files |= {file.path: file for file in found}
    manifests = tuple(files.values())
    models = Models(*described(preset_names(manifests), folder=MODELS_CACHE, report=_say))
    try:
        text, warnings = imported(manifests, existing_nodes=given.existing_nodes, models=models)
    except SpecError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.writelines(f"# warning: {printable(warning)}\n" for warning in warnings)
    sys.stdout.write(text)
    return 0


def _say(sentence: str) -> None:
    """As a comment: standard output and standard error may go into one file of YAML."""
    sys.stderr.write(f"# {printable(sentence)}\n")


def imported(files: Sequence[ManifestFile], *, existing_nodes: bool, models: Models) -> tuple[str, tuple[str, ...]]:
    """The stack config that means the same as the manifests, and the warnings. models: those beyond the catalogue.

    Raises SpecError with every problem, also those that manifests and the stack's own workspaces have in common.
    """
    names = ", ".join(file.path for file in files)
    config: dict[str, Any] = {"modelyard:target": "kubernetes"}
    if existing_nodes:
        config["modelyard:kubernetes"] = {"nodes": "existing"}
    parse_spec(
        RawConfig(
            target=config["modelyard:target"],
            kubernetes=config.get("modelyard:kubernetes"),
            manifests=[file.path for file in files],
        ),
        stack_file=names,
        around=Surroundings(manifests={file.path: (file,) for file in files}, models=models),
    )
    manifests = read_manifests(files, existing_nodes=existing_nodes, models=models)
    config["modelyard:workspaces"] = [workspace.raw for workspace in manifests.workspaces]
    first, *rest = yaml.dump({"config": config}, Dumper=_Dumper, sort_keys=False, width=120).splitlines()
    head = [f"# From {printable(names)}: put this into Pulumi.STACK.yaml.", first, f"  {_TARGET}"]
    return "\n".join([*head, *rest]) + "\n", manifests.warnings


if __name__ == "__main__":
    sys.exit(main())
