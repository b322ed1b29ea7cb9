"""What is sent to Ray Serve."""

from __future__ import annotations

from components.planning.render import application_config, canonical_json
from presets.serve_config import DEPLOYMENT, ServeArgs, ServiceSettings
from tests.planning.builders import chat, plan_of


def test_an_application_has_what_serving_reads_and_nothing_else() -> None:
    (workspace,) = plan_of(chat("replicas: 2", config="maxWaitingRequests: 10")).workspaces
    config = application_config(workspace)
    (deployment,) = config["deployments"] if isinstance(config["deployments"], list) else []
    assert isinstance(deployment, dict)
    assert (config["name"], config["route_prefix"], config["import_path"]) == ("chat", "/chat", "serving.app:build")
    assert ServeArgs.model_validate(config["args"]) == workspace.serve_args
    assert ServiceSettings.model_validate(deployment["user_config"]) == workspace.settings
    assert (deployment["name"], deployment["num_replicas"]) == (DEPLOYMENT, 2)
    assert deployment["ray_actor_options"] == {"num_cpus": 0.1, "num_gpus": 0.0}


def test_serve_hands_over_more_requests_than_the_engine_admits_so_that_the_engine_can_refuse_them() -> None:
    (workspace,) = plan_of(chat(config="maxSequences: 8, maxWaitingRequests: 10")).workspaces
    assert canonical_json(application_config(workspace)).count('"max_ongoing_requests":82') == 1


def test_the_same_plan_gives_the_same_bytes() -> None:
    first, second = (application_config(plan_of(chat()).workspaces[0]) for _ in range(2))
    assert canonical_json(first) == canonical_json(second)


def test_a_whole_number_and_its_decimal_form_are_the_same_setting() -> None:
    one = plan_of(chat(config="sampling: {temperature: 1}")).workspaces[0]
    other = plan_of(chat(config="sampling: {temperature: 1.0}")).workspaces[0]
    assert canonical_json(application_config(one)) == canonical_json(application_config(other))


def test_another_config_has_other_bytes() -> None:
    one = plan_of(chat()).workspaces[0]
    other = plan_of(chat(config="maxContext: 1024")).workspaces[0]
    assert canonical_json(application_config(one)) != canonical_json(application_config(other))
