"""hf: sources against a hub on loopback, through the real huggingface_hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub_server import COMMIT, HubServer, Repository
from tests.serving.weights.builders import checkpoint, gguf_model
from tests.serving.weights.conftest import Outcome, Weights

Refused = Callable[[Outcome, str], str]


@pytest.fixture
def repository(hub: HubServer, tmp_path: Path) -> Repository:
    repository = Repository(checkpoint(tmp_path / "published"))
    hub.repositories["org/model"] = repository
    return repository


def downloads(hub: HubServer) -> list[str]:
    return [
        request.rpartition("/")[2] for request in hub.requests if request.startswith("GET") and "/resolve/" in request
    ]


def test_a_repository_is_fetched_once_and_only_the_files_that_serving_needs(
    weights: Weights, hub: HubServer, repository: Repository
) -> None:
    for unwanted in ("pytorch_model.bin", "consolidated.safetensors", "model.py", "original/model.safetensors"):
        path = repository.root / unwanted
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"unwanted")
    first = weights.run("hf:org/model")
    assert sorted(downloads(hub)) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (first.path / "model.safetensors").read_bytes() == (repository.root / "model.safetensors").read_bytes()
    hub.requests.clear()
    second = weights.run("hf:org/model")
    assert not downloads(hub), "the second call fetched again"
    assert (second.path, second.last["digest"]) == (first.path, first.last["digest"])


def test_all_shards_that_the_index_names_are_fetched(weights: Weights, hub: HubServer, tmp_path: Path) -> None:
    hub.repositories["org/sharded"] = Repository(checkpoint(tmp_path / "sharded", shards=3))
    outcome = weights.run(f"hf:org/sharded@{COMMIT}")
    assert len(list(outcome.path.glob("model-*.safetensors"))) == 3


def test_a_pinned_commit_needs_no_network_the_second_time(
    weights: Weights, hub: HubServer, repository: Repository
) -> None:
    weights.run(f"hf:org/model@{repository.commit}")
    hub.requests.clear()
    weights.run(f"hf:org/model@{repository.commit}")
    assert not hub.requests


def test_offline_the_cached_commit_is_served(weights: Weights, repository: Repository) -> None:
    online = weights.run("hf:org/model")
    weights.environment |= {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert weights.run("hf:org/model").path == online.path


def test_a_hub_that_is_down_does_not_stop_what_is_cached(weights: Weights, repository: Repository) -> None:
    online = weights.run("hf:org/model")
    weights.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    assert weights.run("hf:org/model").path == online.path


def test_a_prepared_hub_cache_is_enough_without_our_own(weights: Weights, repository: Repository) -> None:
    weights.run("hf:org/model")
    weights.environment |= {"HF_HUB_OFFLINE": "1", "MODELYARD_CACHE": str(weights.home / "fresh")}
    assert weights.run("hf:org/model").status == 0


def test_offline_and_not_cached_says_so(weights: Weights, hub: HubServer, refused: Refused) -> None:
    weights.environment["HF_HUB_OFFLINE"] = "1"
    message = refused(weights.run("hf:org/model"), "DownloadFailed")
    assert "HF_HUB_OFFLINE is set" in message


def test_a_hub_out_of_reach_is_named(weights: Weights, refused: Refused) -> None:
    weights.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    message = refused(weights.run("hf:org/model"), "DownloadFailed")
    assert "http://127.0.0.1:9 cannot be reached" in message


@pytest.mark.parametrize("token", [None, "hf_of_someone_else"])
def test_a_gated_repository_says_where_to_accept_its_licence(
    weights: Weights, hub: HubServer, repository: Repository, refused: Refused, token: str | None
) -> None:
    repository.gated, repository.token = True, "hf_licensed"
    weights.environment |= {"HF_TOKEN": token} if token else {}
    message = refused(weights.run("hf:org/model"), "Unauthorized")
    assert f"accept its licence at {hub.url}/org/model" in message
    assert "HF_TOKEN" in message
    weights.environment["HF_TOKEN"] = "hf_licensed"
    assert weights.run("hf:org/model").status == 0


def test_a_private_repository_needs_the_token(weights: Weights, repository: Repository, refused: Refused) -> None:
    repository.token = "hf_mine"
    assert "or it is private" in refused(weights.run("hf:org/model"), "WeightsNotFound")
    weights.environment["HF_TOKEN"] = "hf_mine"
    assert weights.run("hf:org/model").status == 0


def test_a_missing_repository_and_a_missing_revision_are_told_apart(
    weights: Weights, repository: Repository, refused: Refused
) -> None:
    assert "no such repository" in refused(weights.run("hf:org/modle"), "WeightsNotFound")
    assert "no revision v9" in refused(weights.run("hf:org/model@v9"), "WeightsNotFound")


def test_a_repository_with_pickle_only_is_refused_before_anything_large_is_fetched(
    weights: Weights, hub: HubServer, repository: Repository, refused: Refused
) -> None:
    (repository.root / "model.safetensors").rename(repository.root / "pytorch_model.bin")
    message = refused(weights.run("hf:org/model"), "PickleRefused")
    assert "pytorch_model.bin" in message
    assert "pytorch_model.bin" not in downloads(hub)


def test_code_in_a_repository_is_refused_before_the_weights_are_fetched(
    weights: Weights, hub: HubServer, repository: Repository, refused: Refused
) -> None:
    config = {"model_type": "homegrown", "auto_map": {"AutoConfig": "code.Config"}}
    (repository.root / "config.json").write_text(json.dumps(config))
    (repository.root / "code.py").write_text("raise SystemExit('ran')")
    message = refused(weights.run("hf:org/model"), "RemoteCodeRefused")
    assert "homegrown" in message
    assert "model.safetensors" not in downloads(hub)
    allowed = weights.run("hf:org/model", "--trust-remote-code")
    assert (allowed.path / "code.py").exists()


def test_a_blob_damaged_in_the_hubs_cache_is_fetched_again(weights: Weights, repository: Repository) -> None:
    first = weights.run("hf:org/model")
    blob = (first.path / "model.safetensors").resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    second = weights.run("hf:org/model")
    assert any("is damaged" in message for message in second.messages)
    assert blob.read_bytes() == (repository.root / "model.safetensors").read_bytes()
    assert second.last["digest"] == first.last["digest"]


def test_a_branch_that_moved_is_followed(weights: Weights, repository: Repository, tmp_path: Path) -> None:
    first = weights.run("hf:org/model")
    repository.root, repository.commit = checkpoint(tmp_path / "newer", seed=1), "beef" + "0" * 36
    second = weights.run("hf:org/model")
    assert second.last["digest"] != first.last["digest"]


@pytest.mark.slow
def test_a_repository_with_one_gguf_is_converted(weights: Weights, hub: HubServer, tmp_path: Path) -> None:
    gguf_model(tmp_path / "gguf" / "tiny.gguf")
    hub.repositories["org/tiny-gguf"] = Repository(tmp_path / "gguf")
    outcome = weights.run("hf:org/tiny-gguf")
    assert (outcome.path / "model.safetensors").exists()
    assert outcome.path.is_relative_to(weights.cache)
