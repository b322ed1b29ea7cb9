"""Adapters as models of their own: listed, used, changed in place, refused, loaded by request."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from openai import InternalServerError, NotFoundError

from presets.serve_config import AdapterSettings, ApiKey, adapters_generation
from serving.engines.protocol import AdapterRefused, AdapterUse
from tests.serving.adapters.bad_adapters import BAD, BadAdapter
from tests.serving.adapters.builders import directory, files
from tests.serving.api.service import MODEL, Service

KEY = "a key of one's own"
ADMIN = {"Authorization": f"Bearer {KEY}"}


def wanted(name: str, folder: Path, *, strength: float = 1.0, rank: int = 16) -> AdapterSettings:
    return AdapterSettings(name=name, source=f"file:{folder}", strength=strength, rank=rank)


def ask(service: Service, model: str, **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
    return service.http.post("/v1/chat/completions", json=body).json()


def used(service: Service) -> AdapterUse | None:
    """The adapter that the last request was answered with."""
    return service.engine.requests[-1].adapter


@pytest.fixture
def polite(service: Service, tmp_path: Path) -> Path:
    """The directory of an adapter that is served."""
    folder = directory(tmp_path / "polite")
    service.apply(wanted("polite", folder))
    assert service.settled("polite").state == "Ready"
    return folder


def test_an_adapter_is_a_model_beside_the_workspace_s(service: Service, polite: Path) -> None:
    base, adapter = service.openai.models.list()
    assert (base.id, base.to_dict()["parent"]) == (MODEL, None)
    assert adapter.id == f"{MODEL}:polite"
    assert adapter.to_dict()["parent"] == MODEL
    assert adapter.to_dict()["root"] == f"file:{polite}"
    assert service.openai.models.retrieve("polite") == adapter


@pytest.mark.parametrize("model", ["polite", f"{MODEL}:polite"])
def test_requests_name_it_by_either_of_its_ids(service: Service, polite: Path, model: str) -> None:
    service.says("Good day")
    assert ask(service, model)["model"] == model
    use = used(service)
    assert use is not None
    assert use.id in service.engine.adapters
    assert use.id == service.adapter("polite").version
    assert strength_used(service) == 1.0


def test_the_model_itself_is_answered_without_it(service: Service, polite: Path) -> None:
    ask(service, MODEL)
    assert used(service) is None
    assert service.http.post("/chat", json={"prompt": "Hello"}).status_code == 200
    assert used(service) is None


def test_completions_and_streams_use_it_too(service: Service, polite: Path) -> None:
    service.says("Good day")
    service.openai.completions.create(model="polite", prompt=["One", "Two"])
    assert all(request.adapter is not None for request in service.engine.requests)
    stream = service.openai.chat.completions.create(
        model="polite", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Good day"
    assert used(service) is not None


def strength_used(service: Service) -> float:
    """How much of its adapter the last request was answered with."""
    use = used(service)
    assert use is not None
    return service.engine.adapters[use.id].strength if use.strength is None else use.strength


def test_the_strength_is_the_workspace_s_unless_a_request_says(service: Service, tmp_path: Path) -> None:
    folder = directory(tmp_path / "polite")
    service.apply(wanted("polite", folder, strength=0.25))
    service.settled("polite")
    for said, strength in [({}, 0.25), ({"adapter_strength": 0.5}, 0.5), ({"adapter_strength": 0}, 0.0)]:
        ask(service, "polite", **said)
        assert strength_used(service) == strength
    service.apply(wanted("polite", folder, strength=0.75))
    service.settled("polite")
    ask(service, "polite")
    assert strength_used(service) == 0.75


def test_a_strength_without_an_adapter_is_refused(service: Service) -> None:
    error = ask(service, MODEL, adapter_strength=0.5)["error"]
    assert (error["param"], error["code"]) == ("adapter_strength", "invalid_value")
    assert ask(service, MODEL, adapter_strength=1.5)["error"]["code"] == "invalid_value"


def test_responses_use_it_too(service: Service, polite: Path) -> None:
    service.says("Good day")
    answered = service.openai.responses.create(
        model="polite", input="Hello", store=False, extra_body={"adapter_strength": 0.5}
    )
    assert answered.output_text == "Good day"
    assert (use := used(service)) is not None
    assert use.strength == 0.5


def test_metrics_count_it_under_its_own_id(service: Service, polite: Path) -> None:
    service.says("Good day")
    ask(service, "polite")
    ask(service, f"{MODEL}:polite")
    metrics = service.http.get("/metrics").text
    assert f'vllm:prompt_tokens_total{{model_name="{MODEL}:polite"}} 62.0' in metrics
    assert 'model_name="polite"' not in metrics, "two names of one model became two labels"


def test_another_adapter_is_not_found(service: Service, polite: Path) -> None:
    for name in ("rude", f"{MODEL}:rude", "other:polite"):
        with pytest.raises(NotFoundError) as caught:
            service.openai.models.retrieve(name)
        assert caught.value.code == "model_not_found"
        assert f"{MODEL}:polite" in caught.value.message, "it says what there is"


def test_an_adapter_that_is_being_loaded_is_asked_for_again_later(service: Service, tmp_path: Path) -> None:
    go_on = threading.Event()
    service.engine.before_load = go_on.wait
    service.apply(wanted("polite", directory(tmp_path / "polite")))
    with pytest.raises(InternalServerError) as caught:
        service.openai.completions.create(model="polite", prompt="Hello")
    assert (caught.value.status_code, caught.value.code) == (503, "adapter_loading")
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 120
    assert [model.id for model in service.openai.models.list()] == [MODEL]
    assert ask(service, MODEL)["choices"], "the model itself waits for an adapter"
    go_on.set()
    assert service.settled("polite").state == "Ready"
    assert ask(service, "polite")["choices"]


def test_the_status_says_which_list_has_been_taken_over(service: Service, tmp_path: Path) -> None:
    adapters = [wanted("a", directory(tmp_path / "a")), wanted("b", tmp_path / "missing")]
    service.apply(*adapters)
    service.settled("a")
    service.settled("b")
    report = service.http.get("/ready").json()["adapters"]
    assert report["generation"] == adapters_generation(reversed(adapters))
    states = {each["name"]: (each["state"], each["reason"]) for each in report["adapters"]}
    assert states == {"a": ("Ready", ""), "b": ("Failed", "AdapterNotFound")}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_adapter_is_refused_with_its_reason_and_the_others_serve(
    service: Service, tmp_path: Path, bad: BadAdapter
) -> None:
    service.says("Good day")
    good = wanted("polite", directory(tmp_path / "polite"))
    service.apply(good)
    service.settled("polite")
    service.apply(good, wanted("bad", directory(tmp_path / "bad", bad.content)))
    refused = service.settled("bad")
    assert (refused.state, refused.reason, refused.version) == ("Failed", bad.reason, None), refused.message
    assert bad.says in refused.message
    assert "\n" not in refused.message
    error = ask(service, "bad")["error"]
    assert error["code"] == "adapter_failed"
    assert bad.reason in error["message"]
    for model in (MODEL, "polite"):
        assert ask(service, model)["choices"][0]["message"]["content"] == "Good day"
    assert [model.id for model in service.openai.models.list()] == [MODEL, f"{MODEL}:polite"]


def test_what_the_engine_refuses_is_refused_with_its_reason(service: Service, tmp_path: Path) -> None:
    service.engine.refuses_adapters = AdapterRefused("NoEffect", "all of its matrices B are zero")
    service.apply(wanted("polite", directory(tmp_path / "polite")))
    refused = service.settled("polite")
    assert (refused.state, refused.reason) == ("Failed", "NoEffect")


def test_a_name_of_another_base_model_is_only_a_remark(service: Service, tmp_path: Path) -> None:
    service.apply(wanted("p", directory(tmp_path / "p", files({"base_model_name_or_path": "other/model"}))))
    found = service.settled("p")
    assert found.state == "Ready"
    assert "other/model" in found.message


def version_of(service: Service, name: str, other_than: str | None = None) -> str:
    """The version that requests are answered with, once it is another than this one."""
    deadline = time.monotonic() + 10
    while (version := service.adapter(name).version) in (None, other_than):
        assert time.monotonic() < deadline, f"still {version}"
        time.sleep(0.01)
    assert version is not None
    return version


def test_a_changed_content_is_a_new_version_and_the_old_one_is_unloaded(service: Service, polite: Path) -> None:
    first = version_of(service, "polite")
    assert first.startswith("polite@sha256:")
    directory(polite, files({"lora_alpha": 32}))
    service.apply(wanted("polite", polite))
    second = version_of(service, "polite", other_than=first)
    until_engine_has(service, {second})


def test_going_back_to_an_earlier_source_is_the_earlier_version(service: Service, polite: Path, tmp_path: Path) -> None:
    first = version_of(service, "polite")
    service.apply(wanted("polite", directory(tmp_path / "new", files({"lora_alpha": 32}))))
    second = version_of(service, "polite", other_than=first)
    service.apply(wanted("polite", polite))
    assert version_of(service, "polite", other_than=second) == first
    until_engine_has(service, {first})


def test_an_update_that_fails_leaves_the_version_before_it(service: Service, polite: Path, tmp_path: Path) -> None:
    first = version_of(service, "polite")
    service.apply(wanted("polite", tmp_path / "missing"))
    failed = service.settled("polite")
    assert (failed.state, failed.reason, failed.version) == ("Failed", "AdapterNotFound", first)
    ask(service, "polite")
    assert (use := used(service)) is not None
    assert use.id == first


def test_a_removed_adapter_is_gone_and_unloaded(service: Service, polite: Path) -> None:
    service.apply()
    until_engine_has(service, set())
    assert ask(service, "polite")["error"]["code"] == "model_not_found"


def test_streams_go_on_while_adapters_come_and_go(service: Service, polite: Path, tmp_path: Path) -> None:
    service.engine.never_ends(service.tokens(" word")[0], seconds_per_step=0.002)
    with service.openai.completions.create(model="polite", prompt="Go", stream=True, max_tokens=400) as stream:
        next(stream)
        service.apply(wanted("other", directory(tmp_path / "other")))
        service.settled("other")
        service.apply(wanted("polite", polite), wanted("other", tmp_path / "other"))
        service.settled("polite")
        for _ in range(50):
            next(stream)


def until_engine_has(service: Service, versions: set[str]) -> None:
    deadline = time.monotonic() + 10
    while service.engine.adapters.keys() != versions:
        assert time.monotonic() < deadline, service.engine.adapters
        time.sleep(0.01)


def key(name: str, secret: str, **settings: Any) -> ApiKey:
    return ApiKey(name=name, sha256=hashlib.sha256(secret.encode()).hexdigest(), **settings)


@pytest.fixture
def admin(service: Service) -> Service:
    """A service whose clients have the admin key."""
    service.callers.configure([key("admin", KEY, admin=True), key("other", "another")], None)
    service.http.headers.update(ADMIN)
    return service


def load(service: Service, headers: dict[str, str] | None = None, **body: Any) -> tuple[int, str]:
    answer = service.http.post("/v1/load_lora_adapter", json=body, headers=ADMIN if headers is None else headers)
    return answer.status_code, answer.text


def unload(service: Service, name: str) -> tuple[int, str]:
    answer = service.http.post("/v1/unload_lora_adapter", json={"lora_name": name}, headers=ADMIN)
    return answer.status_code, answer.text


def test_an_adapter_is_loaded_and_unloaded_by_request_as_with_vllm(admin: Service, tmp_path: Path) -> None:
    folder = directory(tmp_path / "polite")
    answered = load(admin, lora_name="polite", lora_path=str(folder))
    assert answered == (200, "Success: LoRA adapter 'polite' added successfully.")
    assert ask(admin, "polite")["choices"]
    admin.apply()
    assert ask(admin, "polite")["choices"], "a change of the stack's list took it out"
    assert unload(admin, "polite") == (200, "Success: LoRA adapter 'polite' removed successfully.")
    assert ask(admin, "polite")["error"]["code"] == "model_not_found"
    assert unload(admin, "polite")[0] == 404


def test_a_loaded_adapter_is_replaced_only_if_that_is_asked_for(admin: Service, tmp_path: Path) -> None:
    folder = directory(tmp_path / "polite")
    load(admin, lora_name="polite", lora_path=f"file:{folder}")
    first = version_of(admin, "polite")
    directory(folder, files({"lora_alpha": 32}))
    status, text = load(admin, lora_name="polite", lora_path=f"file:{folder}")
    assert status == 400
    assert "load_inplace" in text
    assert version_of(admin, "polite") == first
    assert load(admin, lora_name="polite", lora_path=f"file:{folder}", load_inplace=True)[0] == 200
    assert version_of(admin, "polite") != first


def test_what_is_refused_by_request_leaves_nothing(admin: Service, tmp_path: Path) -> None:
    folder = directory(tmp_path / "bad", files({"use_dora": True}))
    status, text = load(admin, lora_name="bad", lora_path=str(folder))
    assert status == 400
    assert '"code":"adapter_refused"' in text
    assert "DoraUnsupported" in text
    assert ask(admin, "bad")["error"]["code"] == "model_not_found"
    assert load(admin, lora_name="bad", lora_path="s3://bucket")[0] == 400


def test_the_adapters_of_the_stack_are_not_changed_by_request(admin: Service, polite: Path, tmp_path: Path) -> None:
    assert unload(admin, "polite")[0] == 400
    assert load(admin, lora_name="polite", lora_path=str(tmp_path), load_inplace=True)[0] == 400
    assert load(admin, lora_name=MODEL, lora_path=str(polite))[0] == 400
    assert ask(admin, "polite")["choices"]


def test_only_an_admin_key_may(admin: Service) -> None:
    status, text = load(admin, {"Authorization": "Bearer another"}, lora_name="x", lora_path="/x")
    assert (status, '"code":"admin_key_required"' in text) == (403, True)
    assert load(admin, {"Authorization": "Bearer wrong"}, lora_name="x", lora_path="/x")[0] == 401


def test_without_keys_nobody_may(service: Service) -> None:
    status, text = load(service, lora_name="x", lora_path="/x")
    assert status == 403
    assert "modelyard:apiKeys" in text


def test_a_key_may_be_for_one_adapter_alone(admin: Service, tmp_path: Path) -> None:
    only = key("only", "for-polite", models=(f"{MODEL}:polite",))
    admin.callers.configure([only, key("admin", KEY, admin=True)], None)
    load(admin, lora_name="polite", lora_path=str(directory(tmp_path / "polite")))
    admin.http.headers["Authorization"] = "Bearer for-polite"
    assert [model["id"] for model in admin.http.get("/v1/models").json()["data"]] == [f"{MODEL}:polite"]
    assert ask(admin, "polite")["choices"]
    assert ask(admin, MODEL)["error"]["code"] == "model_not_allowed"


@pytest.mark.parametrize("state", ["Ready", "Loading", "Failed", "none"])
@pytest.mark.parametrize("name", ["secret", f"{MODEL}:secret"])
def test_a_key_learns_nothing_of_adapters_that_it_is_not_for(
    admin: Service, polite: Path, tmp_path: Path, state: str, name: str
) -> None:
    go_on = threading.Event()
    admin.resources.callback(go_on.set)
    if state == "Loading":
        admin.engine.before_load = go_on.wait
    secret = wanted("secret", tmp_path / "missing" if state == "Failed" else directory(tmp_path / "s", files({"r": 2})))
    admin.apply(wanted("polite", polite), *([] if state == "none" else [secret]))
    if state not in ("Loading", "none"):
        assert admin.settled("secret").state == state
    admin.callers.configure([key("only", "for-polite", models=(f"{MODEL}:polite",))], None)
    admin.http.headers["Authorization"] = "Bearer for-polite"
    answers = [admin.http.get(f"/v1/models/{name}"), admin.http.post("/tokenize", json={"model": name, "prompt": "Hi"})]
    for error in (ask(admin, name)["error"], *(answer.json()["error"] for answer in answers)):
        assert error["code"] == "model_not_allowed"
        assert str(tmp_path) not in error["message"]
    assert admin.http.get("/v1/models/polite").status_code == 200


def test_a_request_that_would_reach_one_of_several_replicas_is_refused(admin: Service) -> None:
    admin.replicas = 2
    status, text = load(admin, lora_name="x", lora_path="/x")
    assert status == 409
    assert "inference.adapters" in text
