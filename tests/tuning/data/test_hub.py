"""Data sets of the hub, as huggingface_hub and datasets fetch them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from huggingface_hub import constants

from tests.hub_server import COMMIT, HubServer, Repository
from tests.tuning.data.yard import Yard, jsonl

CARD = """---
license: mit
configs:
- config_name: polite
  data_files:
  - {split: train, path: polite/*.jsonl}
- config_name: rude
  data_files:
  - {split: train, path: rude/*.jsonl}
---
# Greetings
"""


@pytest.fixture
def hub(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        # HF_ENDPOINT is read when huggingface_hub is imported.
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield server


def publish(yard: Yard, hub: HubServer, files: dict[str, str], **about: object) -> None:
    for name, content in files.items():
        yard.file(f"hub/{name}", content)
    hub.repositories["datasets/org/greetings"] = Repository(yard.root / "hub", **about)  # type: ignore[arg-type]


def texts(yard: Yard, source: str) -> list[str]:
    return [row["text"] for row in yard.load({"dataset": source, "shuffle": False}).train]


def fetched(hub: HubServer) -> list[str]:
    return [request for request in hub.requests if request.startswith("GET /datasets/")]


def test_the_files_of_one_split_are_fetched_once(yard: Yard, hub: HubServer) -> None:
    publish(yard, hub, {f"data/{split}.jsonl": jsonl({"text": split}) for split in ("train", "test", "validation")})
    assert texts(yard, "hf:org/greetings") == ["train"]
    assert fetched(hub) == [f"GET /datasets/org/greetings/resolve/{COMMIT}/data/train.jsonl"]
    assert texts(yard, f"hf:org/greetings@{COMMIT}#test") == ["test"]
    hub.requests.clear()
    assert texts(yard, "hf:org/greetings@main#test") == ["test"]
    assert not fetched(hub), "the file was fetched again"


def test_a_card_with_configurations_is_followed(yard: Yard, hub: HubServer) -> None:
    files = {"README.md": CARD, "polite/a.jsonl": jsonl({"text": "Please"}), "rude/a.jsonl": jsonl({"text": "Oi"})}
    publish(yard, hub, files)
    assert texts(yard, "hf:org/greetings#rude/train") == ["Oi"]
    error = yard.refused({"dataset": "hf:org/greetings"})
    assert error.reason == "DataNotFound"
    assert "polite" in error.message
    assert "#CONFIGURATION/SPLIT" in error.message


@pytest.mark.parametrize("path", ["/etc/*.csv", "../*.csv", "http://127.0.0.1/a.csv", "hf://datasets/other/set/a.csv"])
def test_a_card_that_leads_elsewhere_is_refused(yard: Yard, hub: HubServer, path: str) -> None:
    card = f"---\nconfigs:\n- config_name: default\n  data_files: '{path}'\n---\n"
    publish(yard, hub, {"README.md": card, "a.jsonl": jsonl({"text": "x"})})
    error = yard.refused({"dataset": "hf:org/greetings"})
    assert error.reason == "DataRefused"
    assert path in error.message


@pytest.mark.parametrize(
    ("source", "about", "reason", "told"),
    [
        ("hf:org/other", {}, "DataNotFound", "has no such repository, or it is private"),
        ("hf:org/greetings@v9", {}, "DataNotFound", "has no revision v9"),
        ("hf:org/greetings#dev", {}, "DataNotFound", "has no split 'dev'"),
        ("hf:org/greetings", {"token": "t"}, "DataNotFound", "set HF_TOKEN"),
        ("hf:org/greetings", {"token": "t", "gated": True}, "DataUnauthorized", "/datasets/org/greetings"),
    ],
)
def test_a_data_set_that_cannot_be_had_is_told(
    yard: Yard, hub: HubServer, source: str, about: dict[str, object], reason: str, told: str
) -> None:
    publish(yard, hub, {"train.jsonl": jsonl({"text": "x"})}, **about)
    error = yard.refused({"dataset": source})
    assert error.reason == reason
    assert told in error.message


def test_a_token_opens_a_private_data_set(yard: Yard, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(yard, hub, {"train.jsonl": jsonl({"text": "x"})}, token="t")
    monkeypatch.setenv("HF_TOKEN", "t")
    assert texts(yard, "hf:org/greetings") == ["x"]


def test_a_file_that_is_too_large_is_not_fetched(yard: Yard, hub: HubServer) -> None:
    publish(yard, hub, {"train.jsonl": jsonl({"text": "x" * 2000})})
    assert yard.refused({"dataset": "hf:org/greetings", "most_bytes": 1000}).reason == "DataTooLarge"
    assert not fetched(hub)


def test_a_data_set_of_images_is_told(yard: Yard, hub: HubServer) -> None:
    publish(yard, hub, {"a.png": "x", "README.md": "# x"})
    assert "has no csv, json, jsonl, parquet or arrow file" in yard.refused({"dataset": "hf:org/greetings"}).message


def test_a_hub_that_is_not_there_is_told(yard: Yard, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # huggingface_hub waits 23 s
    assert yard.refused({"dataset": "hf:org/greetings"}).reason == "DataUnreachable"


def test_what_was_fetched_serves_while_the_hub_is_down(
    yard: Yard, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(yard, hub, {"train.jsonl": jsonl({"text": "x"}), "README.md": "# x"})
    assert texts(yard, "hf:org/greetings") == ["x"]
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    hub.requests.clear()
    assert texts(yard, "hf:org/greetings") == ["x"]
    assert not hub.requests
