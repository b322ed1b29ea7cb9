"""A pod template of the user's own, on a node that was made for it, with a Service before it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.cluster.rig.rig import Rig
from tests.cluster.test_faults import sleeper
from tests.cluster.yard import A100, ClusterYard
from tests.stack.yard import PROJECT

pytestmark = pytest.mark.cluster

SERVER: dict[str, Any] = {
    "spec": {
        "containers": [
            {
                "name": "web",
                "image": "example.com/web:1",
                "command": ["python", "-m", "http.server", "5000", "--directory", "/etc"],
                "ports": [{"containerPort": 5000}],
                "readinessProbe": {"httpGet": {"path": "/os-release", "port": 5000}},
                "resources": {"limits": {"nvidia.com/gpu": "1"}},
            }
        ]
    }
}


def test_a_template_runs_on_its_node_and_answers_through_its_service(idle_yard: ClusterYard) -> None:
    idle_yard.configure_cluster(sleeper("web", SERVER))
    idle_yard.up()
    [pod] = idle_yard.pods("web", "template")
    node = idle_yard.api.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == A100
    assert "NAME" in idle_yard.get("web", "/os-release").text
    assert idle_yard.conditions("web") == {"ResourceReady": "True", "InferenceReady": "True", "WorkspaceReady": "True"}
    assert idle_yard.workspace("web")["spec"]["kind"] == "template"

    idle_yard.configure_cluster(sleeper("web", SERVER, replicas=2))
    idle_yard.up()
    assert len(idle_yard.pods("web", "template")) == 2


def test_a_namespace_s_own_role_is_enough_where_an_administrator_has_installed_the_rest(
    idle_yard: ClusterYard, rig: Rig
) -> None:
    namespace = idle_yard.namespace
    rig.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    grant(rig, namespace, "team")
    rig.make_node("own-0", A100, labels={"team": "own"})
    try:
        idle_yard.environment["KUBECONFIG"] = str(rig.kubeconfig("team", namespace=namespace))
        resource = {"labelSelector": {"matchLabels": {"team": "own"}}}
        idle_yard.configure_cluster(sleeper(resource=resource), nodes="existing", createNamespace=False)
        idle_yard.up()
        assert idle_yard.conditions("sleeper")["WorkspaceReady"] == "True"
        assert "may not read nodes" in str(idle_yard.reconciled("sleeper")["conditions"])
        idle_yard.pulumi("destroy").expect()
        assert rig.api.find(f"/api/v1/namespaces/{namespace}") is not None, "a namespace that is not ours was deleted"
    finally:
        idle_yard.environment["KUBECONFIG"] = str(rig.admin)
        rig.api.delete("/api/v1/nodes/own-0")


def grant(rig: Rig, namespace: str, user: str) -> None:
    """The Role of deploy/operator-rbac.yaml in one namespace."""
    documents = yaml.safe_load_all((PROJECT / "deploy" / "operator-rbac.yaml").read_text())
    [role] = [each for each in documents if each["kind"] == "Role"]
    role["metadata"]["namespace"] = namespace
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "team", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
        "subjects": [subject],
    }
    rig.api.apply(role, binding)
