"""The plan as people read it."""

from __future__ import annotations

from components.planning.preview import Before
from components.planning.render import application_config
from tests.planning.builders import LAPTOP, ONE_GPU, chat, plan_of, table_of

TWO = """
workspaces:
  - name: phi
    resource: {instanceType: Standard_NC6s_v3, labelSelector: {matchLabels: {apps: phi-3}}}
    inference: {preset: {name: Phi-3-mini-4k-instruct}, config: {maxSequences: 1}}
  - name: chat
    replicas: 2
    inference: {preset: {name: smollm2-135m-instruct}, config: {maxContext: 1024}}
"""

TABLE = """\
 WORKSPACE   MODEL                    WHERE                              CONTEXT      MEMORY needed / there is    ENDPOINT                        CHANGE
 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 chat        smollm2-135m-instruct    this machine, 4 CPUs, 2 replicas   1,024 x 32   ███░░░░░░░ 4.9 / 14.5 GiB   http://127.0.0.1:8000/chat/v1   new replicas beside the old ones:
                                                                                                                                                  maxContext; replicas 1 -> 2
 old                                                                                                                                              delete
 phi         phi-3-mini-4k-instruct   this machine, 4 CPUs               2,048 x 1    ██████░░░░ 9.4 / 14.5 GiB   http://127.0.0.1:8000/phi/v1    create
memory: at most 14.3 GiB needed together; 14.5 GiB there is, 16.0 GiB less what Ray and the system take
warning: phi: resource.instanceType, resource.labelSelector are ignored on target local: this machine is the node"""  # noqa: E501  as it is printed


def test_the_table_of_two_workspaces_reads_like_this() -> None:
    plan = plan_of(TWO)
    deployed = {"chat": application_config(plan_of(chat()).workspaces[0]), "old": {}}
    assert table_of(plan, Before(applications=deployed, serve_port=8000)) == TABLE


def test_the_port_of_the_config_counts_until_ray_runs() -> None:
    assert "http://127.0.0.1:9000/chat/v1" in table_of(plan_of(chat() + "\nray: {servePort: 9000}"))
    assert "port chosen at up" in table_of(plan_of(chat()))


def test_no_value_is_cut_however_long_it_is() -> None:
    name = "a" * 47
    text = table_of(plan_of(chat().replace("chat", name)), Before(serve_port=65535))
    assert f"http://127.0.0.1:65535/{name}/v1" in text
    assert "…" not in text


def test_an_empty_stack_says_so() -> None:
    assert table_of(plan_of("workspaces: []")) == "modelyard:workspaces is empty: nothing is served"


def test_memory_of_a_gpu_stands_beside_what_is_needed_of_it() -> None:
    text = table_of(plan_of(chat(), ONE_GPU))
    assert "this machine, NVIDIA A10" in text
    assert "/ 24.0 GiB" in text
    assert "memory: at most" not in text, "main memory is not what limits a GPU's plan"


def test_the_text_has_no_colour_codes_and_no_trailing_spaces() -> None:
    text = table_of(plan_of(TWO, LAPTOP))
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
