"""What holds of every plan."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from components.planning.errors import Problem, SpecError
from components.planning.local_rules import context_limit
from components.planning.plan import Plan, make_plan
from components.planning.render import application_config, canonical_json
from components.planning.spec import RawConfig, parse_spec
from presets.catalog import catalog
from tests.planning.builders import LAPTOP, SERVER

JsonDict = dict[str, Any]

names = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@st.composite
def configs(draw: st.DrawFn) -> JsonDict:
    preset = draw(st.sampled_from(sorted(catalog())))
    optional: JsonDict = {
        "maxContext": st.integers(1, context_limit(catalog()[preset])),
        "maxSequences": st.integers(1, 64),
        "dtype": st.sampled_from(["bfloat16", "float16", "float32"]),
        "sampling": st.fixed_dictionaries({}, optional={"temperature": st.floats(0, 2), "top_k": st.integers(0, 9)}),
        "maxWaitingRequests": st.integers(1, 1000),
    }
    config = draw(st.fixed_dictionaries({}, optional=optional))
    return {"preset": {"name": preset}, "config": config}


@st.composite
def workspaces(draw: st.DrawFn) -> list[JsonDict]:
    def workspace(name: str) -> JsonDict:
        extra = draw(
            st.fixed_dictionaries({}, optional={"replicas": st.integers(1, 3), "resource": st.just({"count": 2})})
        )
        return {"name": name, "inference": draw(configs()), **extra}

    return [workspace(name) for name in draw(st.lists(names, max_size=5, unique=True))]


def plan_of(stack: Sequence[JsonValue]) -> Plan:
    spec = parse_spec(RawConfig(workspaces=list(stack)), stack_file="Pulumi.test.yaml")
    return make_plan(spec, SERVER, code_version="c0de")


def shuffled(value: JsonValue, dice: random.Random) -> JsonValue:
    """The same value with the keys of every map in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        dice.shuffle(items)
        return {key: shuffled(item, dice) for key, item in items}
    return value


def rendered(plan: Plan) -> str:
    return canonical_json([application_config(workspace) for workspace in plan.workspaces])


@given(workspaces(), st.randoms(use_true_random=False))
def test_a_plan_does_not_depend_on_the_order_of_workspaces_or_keys(stack: list[JsonDict], dice: random.Random) -> None:
    other = [shuffled(workspace, dice) for workspace in stack]
    dice.shuffle(other)
    assert plan_of(other) == plan_of(stack)
    assert rendered(plan_of(other)) == rendered(plan_of(stack))


@given(workspaces())
def test_the_parts_of_a_plan_add_up_to_its_total(stack: list[JsonDict]) -> None:
    plan = plan_of(stack)
    for workspace in plan.workspaces:
        memory = workspace.memory
        assert memory.total == memory.weights + memory.kv_cache + memory.runtime
        assert min(memory.weights, memory.kv_cache, memory.runtime) > 0
    assert plan.memory_bytes == sum(workspace.replicas * workspace.memory.total for workspace in plan.workspaces)


@given(workspaces())
def test_a_workspace_is_planned_as_if_it_were_alone(stack: list[JsonDict]) -> None:
    together = {workspace.name: workspace for workspace in plan_of(stack).workspaces}
    for workspace in stack:
        (alone,) = plan_of([workspace]).workspaces
        assert together[workspace["name"]] == alone


@given(configs(), st.integers(1, 512), st.integers(0, 512), st.integers(1, 2048), st.integers(0, 2048))
def test_more_context_and_more_sequences_never_need_less(
    inference: JsonDict, sequences: int, more_sequences: int, context: int, more_context: int
) -> None:
    def need(max_sequences: int, max_context: int) -> int:
        sized = inference["config"] | {"maxSequences": max_sequences, "maxContext": max_context}
        return plan_of([{"name": "chat", "inference": inference | {"config": sized}}]).memory_bytes

    assert need(sequences + more_sequences, context) >= need(sequences, context)
    assert need(sequences, context + more_context) >= need(sequences, context)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: JsonValue, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: list[tuple[str | int, JsonValue]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [above, *(place for key, item in items for place in places(item, (*above, key)))]


def replaced(value: JsonValue, place: tuple[str | int, ...], new: JsonValue) -> JsonValue:
    """The same value with another one at this place."""
    match value, place:
        case _, ():
            return new
        case dict(), (str(key), *rest):
            return value | {key: replaced(value[key], tuple(rest), new)}
        case list(), (int(index), *rest):
            return [*value[:index], replaced(value[index], tuple(rest), new), *value[index + 1 :]]
        case _:
            raise AssertionError(f"{place} is no place in {value}")


WHOLE: JsonDict = {
    "target": "local",
    "workspaces": [
        {
            "name": "chat",
            "resource": {"instanceType": "x", "count": 1, "labelSelector": {"matchLabels": {"a": "b"}}},
            "inference": {
                "preset": {"name": "smollm2-135m-instruct", "presetOptions": {"weights": "hf:a/b"}},
                "adapters": [],
                "config": {"maxContext": 10, "sampling": {"temperature": 1.0}},
            },
            "replicas": 1,
        }
    ],
    "ray": {"servePort": 8000},
}


@given(st.sampled_from(places(WHOLE)[1:]), json_values)
def test_whatever_stands_in_a_config_it_is_planned_or_refused_in_words(
    place: tuple[str | int, ...], value: JsonValue
) -> None:
    config = replaced(WHOLE, place, value)
    assert isinstance(config, dict)
    for problem in problems_of(config):
        assert problem.path.startswith("modelyard:")
        assert all((problem.found, problem.allowed, problem.do)), f"a word is missing in {problem}"


def problems_of(config: dict[str, JsonValue]) -> tuple[Problem, ...]:
    raw = RawConfig(target=config["target"], workspaces=config["workspaces"], ray=config["ray"])
    try:
        make_plan(parse_spec(raw, stack_file="Pulumi.test.yaml"), LAPTOP, code_version="c0de")
    except SpecError as refused:
        return refused.problems
    return ()
