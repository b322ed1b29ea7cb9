"""Host names outside of the cluster, and the addresses that are told."""

from __future__ import annotations

import pytest

from components.planning.errors import SpecError
from components.planning.manifests.exposure import inside_url, outside_url
from tests.planning.manifests.builders import Planned, planned, serving, stack, template

GATEWAY = "expose: {domain: llm.example.com, gateway: {name: main}}"
INGRESS = "expose: {domain: llm.example.com, ingress: {}}"


def outside_kinds(found: Planned) -> list[str]:
    return [each["kind"] for each in found.service() if each["kind"] in ("HTTPRoute", "Ingress")]


def test_nothing_is_reached_from_outside_unless_the_stack_says_so() -> None:
    found = planned(stack())
    assert outside_kinds(found) == []
    assert outside_url("chat", found.scope) == ""
    assert inside_url("chat", found.scope) == "http://chat.modelyard-dev.svc.cluster.local/v1"


def test_a_route_leads_to_the_workspace_s_service_and_does_not_end_a_stream() -> None:
    found = planned(stack(kubernetes=GATEWAY))
    route = found.one("HTTPRoute")["spec"]
    assert route["hostnames"] == ["chat.llm.example.com"]
    assert route["parentRefs"] == [{"name": "main", "namespace": "modelyard-dev"}]
    (rule,) = route["rules"]
    service = found.one("RayService")["spec"]["serveService"]
    assert rule["backendRefs"] == [
        {"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]},
    ]
    assert rule["timeouts"] == {"request": "0s"}, "gateways end a request after 15 s by default"


def test_a_gateway_of_another_namespace_and_one_of_its_listeners() -> None:
    gateway = "{name: main, namespace: gateways, section: https}"
    route = planned(stack(kubernetes=f"expose: {{domain: llm.example.com, gateway: {gateway}}}")).one("HTTPRoute")
    assert route["spec"]["parentRefs"] == [{"name": "main", "namespace": "gateways", "sectionName": "https"}]


def test_an_ingress_leads_to_the_workspace_s_service() -> None:
    ingress = "{className: nginx, tlsSecret: cert, annotations: {b: '2', a: '1'}}"
    found = planned(stack(kubernetes=f"expose: {{domain: llm.example.com, ingress: {ingress}}}")).one("Ingress")
    (rule,) = found["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert rule["host"] == "chat.llm.example.com"
    assert path["backend"] == {"service": {"name": "chat", "port": {"number": 80}}}
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    assert found["spec"]["ingressClassName"] == "nginx"
    assert found["spec"]["tls"] == [{"hosts": ["chat.llm.example.com"], "secretName": "cert"}]
    assert found["metadata"]["annotations"] == {"a": "1", "b": "2"}


def test_an_ingress_leaves_out_what_the_cluster_decides() -> None:
    found = planned(stack(kubernetes=INGRESS)).one("Ingress")
    assert found["spec"].keys() == {"rules"}
    assert "annotations" not in found["metadata"]


@pytest.mark.parametrize(
    ("kubernetes", "url"),
    [
        pytest.param(GATEWAY, "https://chat.llm.example.com/v1", id="a gateway has the certificate itself"),
        pytest.param(INGRESS, "http://chat.llm.example.com/v1", id="an ingress without a certificate"),
        pytest.param(
            "expose: {domain: llm.example.com, ingress: {tlsSecret: cert}}",
            "https://chat.llm.example.com/v1",
            id="an ingress with one",
        ),
        pytest.param("", "http://chat.modelyard-dev.svc.cluster.local/v1", id="inside of the cluster"),
    ],
)
def test_the_endpoint_that_is_told(kubernetes: str, url: str) -> None:
    assert planned(stack(kubernetes=kubernetes)).inputs().endpoint == url


@pytest.mark.parametrize("workspace", [serving(), template()], ids=["a preset", "a pod template"])
@pytest.mark.parametrize(("kubernetes", "kind"), [(GATEWAY, "HTTPRoute"), (INGRESS, "Ingress")])
def test_whatever_serves_is_exposed(workspace: str, kubernetes: str, kind: str) -> None:
    assert outside_kinds(planned(stack(workspace, kubernetes=kubernetes))) == [kind]


@pytest.mark.parametrize(
    ("expose", "path", "words"),
    [
        ("{domain: a.example.com}", "kubernetes.expose", "neither gateway nor ingress"),
        ("{domain: a.example.com, gateway: {name: m}, ingress: {}}", "kubernetes.expose", "both gateway and ingress"),
        ("{domain: 'https://a.example.com', ingress: {}}", "kubernetes.expose.domain", '"https://a.example.com"'),
        ("{domain: '*.example.com', ingress: {}}", "kubernetes.expose.domain", '"*.example.com"'),
        ("{domain: example, ingress: {}}", "kubernetes.expose.domain", '"example"'),
    ],
)
def test_what_cannot_be_exposed_is_refused(expose: str, path: str, words: str) -> None:
    with pytest.raises(SpecError) as refused:
        planned(stack(kubernetes=f"expose: {expose}"))
    (problem,) = refused.value.problems
    assert problem.path == f"modelyard:{path}"
    assert problem.found == words
