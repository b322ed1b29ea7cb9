"""Everything that a person may write wrongly: where the error points to, and what it says."""

from __future__ import annotations

import pytest

from components.planning.errors import SpecError
from tests.planning.bad_input import CASES, GOOD_KEY, Case
from tests.planning.builders import STACK_FILE, chat, plan_of


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_refused_with_its_place_and_a_way_out(case: Case) -> None:
    with pytest.raises(SpecError) as refused:
        plan_of(case.config, case.machine)

    problems = refused.value.problems
    assert [problem.path for problem in problems] == [case.path], f"one problem, where it is:\n{refused.value}"
    (problem,) = problems
    said = f"{problem.found} | {problem.allowed} | {problem.do}"
    for word in case.words:
        assert word in said, f"the error does not say {word!r}:\n{refused.value}"
    assert problem.found, "an error says what was found"
    assert problem.allowed, "an error says what would be right"
    assert problem.do, "an error says what to do"
    for secret in (GOOD_KEY, "hunter2", "a long secret of words", "1234567890123456"):
        assert secret not in str(refused.value), "an error tells the key to whoever reads the log"


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(SpecError) as refused:
        plan_of(
            """
            target: loca
            workspaces:
              - name: Chat
                replicas: -2
                inference: {preset: {name: smollm2-135m-instruct}, config: {maxContext: 99999, dtype: int4}}
              - name: code
                inference: {preset: {name: phi-4k}, adapters: [{strength: 1}]}
                tuning: {}
              - name: long
                inference: {preset: {name: smollm2-135m-instruct}, config: {maxContext: 99999}}
            ray: {servePort: 1}
            """
        )
    assert [problem.path for problem in refused.value.problems] == [
        "modelyard:target",
        "modelyard:workspaces[0].name",
        "modelyard:workspaces[0].inference.config.dtype",
        "modelyard:workspaces[0].replicas",
        "modelyard:workspaces[1]",
        "modelyard:workspaces[1].inference.preset.name",
        "modelyard:workspaces[1].inference.adapters[0].source",
        "modelyard:workspaces[1].inference.adapters[0].strength",
        "modelyard:workspaces[1].tuning.preset",
        "modelyard:workspaces[1].tuning.method",
        "modelyard:workspaces[1].tuning.input",
        "modelyard:workspaces[2].inference.config.maxContext",
        "modelyard:ray.servePort",
    ]
    assert str(refused.value).startswith(f"13 problems in {STACK_FILE}\n"), (
        "the first line counts them and names the file"
    )


def test_an_error_reads_like_this() -> None:
    with pytest.raises(SpecError) as refused:
        plan_of(chat(preset="name: smolm2-135m-instruct"))
    assert str(refused.value) == (
        "1 problem in Pulumi.dev.yaml\n"
        "  modelyard:workspaces[0].inference.preset.name  (workspace chat)\n"
        '    found    "smolm2-135m-instruct"\n'
        "    allowed  a preset in presets/models; nearest: smollm2-135m-instruct, smollm2-360m-instruct, "
        "smollm2-1.7b-instruct\n"
        "    do       write smollm2-135m-instruct"
    )


def test_the_value_of_an_unknown_field_is_not_repeated_because_it_may_be_a_secret() -> None:
    with pytest.raises(SpecError) as refused:
        plan_of(chat(preset="name: smollm2-135m-instruct, presetOptions: {hfToken: hf_abcdef}"))
    assert "hf_abcdef" not in str(refused.value)
