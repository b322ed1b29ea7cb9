"""Whose a request is, and what that one may do."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from presets.serve_config import ApiKey
from serving.callers.call import Call, current_call
from serving.callers.callers import Callers
from serving.callers.errors import AdminKeyRequired, InvalidApiKey, LimitReached, ModelNotAllowed, RequestTimedOut
from serving.engines.protocol import EngineOverloaded, EngineUnavailable, RequestFailed


def key(name: str, **settings: Any) -> ApiKey:
    """The key itself is its name."""
    return ApiKey(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), **settings)


def callers(*keys: ApiKey) -> Callers:
    made = Callers("chat", clock=lambda: 0.0)
    made.configure(keys, None)
    return made


async def test_what_changes_the_service_for_others_takes_an_admin_key() -> None:
    some = callers(key("alice"), key("root", admin=True))
    with some.call(some.identify("root"), limited=False):
        current_call().require_admin()
    with some.call(some.identify("alice"), limited=False), pytest.raises(AdminKeyRequired, match=r"alice.*admin: true"):
        current_call().require_admin()


def test_where_there_are_no_keys_everybody_may_do_everything() -> None:
    assert callers().identify(None) is None
    assert callers().identify("anything") is None
    Call(None).require_admin()


@pytest.mark.parametrize("presented", [None, "", "alic", "alice ", "ALICE", "\udcff"])
def test_only_the_very_key_is_one(presented: str | None) -> None:
    some = callers(key("alice"))
    with pytest.raises(InvalidApiKey):
        some.identify(presented)
    assert some.unknown_keys == 1
    found = some.identify("alice")
    assert found
    assert found.name == "alice"


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        ((), "chat", True),
        (("chat",), "chat", True),
        (("chat",), "polite", True),
        (("chat",), "chat:polite", True),
        (("chat:polite",), "polite", True),
        (("chat:polite",), "chat:polite", True),
        (("chat:polite",), "chat", False),
        (("chat:polite",), "rude", False),
        (("code",), "chat", False),
        (("code",), "code", False),
        (("code:polite",), "polite", False),
    ],
)
def test_a_workspace_stands_for_all_of_its_models_and_an_adapter_for_itself(
    models: tuple[str, ...], model: str, allowed: bool
) -> None:
    use = callers(key("alice", models=models)).keys[0]
    assert use.may_use(model, "chat") == allowed


async def test_a_model_that_is_not_allowed_takes_nothing_from_the_allowance() -> None:
    some = callers(key("alice", models=("code",), tokens_per_minute=10))
    alice = some.identify("alice")
    assert alice
    assert alice.tokens
    with some.call(alice, limited=True) as call, pytest.raises(ModelNotAllowed), call.spending("chat", 5):
        pass
    assert alice.tokens.left(0.0) == 10


@pytest.mark.parametrize(
    ("ends", "left"),
    [
        (EngineOverloaded("full"), 10),
        (EngineUnavailable("restarting"), 10),
        (RequestFailed("the adapter is gone"), 10),
        (RequestTimedOut("too late"), 5),
        (asyncio.CancelledError(), 5),
        (GeneratorExit(), 5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
async def test_a_prompt_that_was_refused_costs_nothing_and_one_that_was_given_up_costs_its_tokens(
    ends: BaseException, left: int
) -> None:
    some = callers(key("alice", tokens_per_minute=10))
    alice = some.identify("alice")
    assert alice
    assert alice.tokens
    with some.call(alice, limited=True) as call, pytest.raises(type(ends)), call.spending("chat", 5):
        raise ends
    assert alice.tokens.left(0.0) == left


async def test_a_request_that_fails_is_over_as_well() -> None:
    some = callers(key("alice", concurrent_requests=1))
    for _ in range(2):
        with pytest.raises(RuntimeError), some.call(some.identify("alice"), limited=True):
            raise RuntimeError
    with (
        some.call(some.identify("alice"), limited=True),
        pytest.raises(LimitReached),
        some.call(some.identify("alice"), limited=True),
    ):
        pass
    assert current_call().key is None, "a call is current for as long as it lasts"
