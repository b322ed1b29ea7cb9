"""The plan as text, as Markdown for a pull request, and as JSON for programs."""

from __future__ import annotations

import json

from components.planning.markdown import render_markdown
from components.planning.preview import Before, preview
from components.planning.report import Report
from components.planning.table import render_table
from tests.planning.builders import chat, plan_of

TWO = """
target: aks
workspaces:
  - name: phi-3
    resource: {instanceType: Standard_NC6s_v3}
    inference: {preset: {name: phi-3-mini-4k-instruct}}
  - name: big
    resource: {instanceType: Standard_NC24ads_A100_v4, spot: true}
    inference: {preset: {name: phi-4}}
"""


def report_of(text: str, before: Before | None = None) -> Report:
    return preview(plan_of(text), before or Before(), stack="prod")


def test_the_table_has_nodes_memory_and_money_of_each_workspace() -> None:
    text = render_table(report_of(TWO))
    row = next(line for line in text.splitlines() if line.startswith(" phi-3 "))
    for words in ("1 x Standard_NC6s_v3", "1 V100-16GB", "4,096 x 3", "/ 14.2 GiB", "3.06", "2,233.80", "create"):
        assert words in row, text
    assert "█" in row
    assert "phi-3: weights 7.1 + KV cache 4.5" in text
    assert "(spot)" in next(line for line in text.splitlines() if line.startswith(" big "))
    assert all(line == line.rstrip() for line in text.splitlines())


def test_money_has_its_total_and_what_it_is_more_than_now() -> None:
    text = render_table(report_of(TWO))
    assert "total: US$ 3.50/h, US$ 2,558.24 a month (list price, eastus, 2024-08; spot price, eastus, 2024-08)" in text
    assert "US$ 3.50/h, US$ 2,558.24 a month more than what is deployed (US$ 0.00/h)" in text
    deployed = Before(records={"phi-3": {"target": "aks", "kind": "inference", "perHour": 13.4642}})
    assert "US$ 9.96/h" in render_table(report_of(TWO, deployed))
    assert "less than what is deployed (US$ 13.46/h)" in render_table(report_of(TWO, deployed))


def test_what_has_no_price_is_named_beside_the_total() -> None:
    text = render_table(report_of(TWO.replace("Standard_NC6s_v3", "Standard_ND96isr_H200_v5")))
    assert "not in the total, because no price is known: phi-3" in text


def test_markdown_is_a_table_with_the_total_warnings_and_folded_details() -> None:
    text = render_markdown(report_of(TWO))
    assert text.startswith("### Plan of stack `prod` (target aks, eastus)\n")
    lines = text.splitlines()
    header = next(index for index, line in enumerate(lines) if line.startswith("| workspace |"))
    columns = lines[header].count("|")
    assert all(lines[header + offset].count("|") == columns for offset in range(4)), "every row has every column"
    assert "**total: US$ 3.50/h" in text
    assert "- phi-3: Standard_NC6s_v3: Azure retired the NCv3 series" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert text == render_markdown(report_of(TWO)), "a comment is edited only where the plan has changed"


def test_markdown_of_this_machine_and_of_an_empty_stack() -> None:
    assert "| `chat` | smollm2-135m-instruct | this machine, 4 CPUs |" in render_markdown(report_of(chat()))
    assert "nothing is served" in render_markdown(report_of("workspaces: []"))


def test_json_has_every_figure_of_the_table() -> None:
    report = json.loads(json.dumps(report_of(TWO).as_json()))
    assert (report["format"], report["stack"], report["target"], report["currency"]) == (1, "prod", "aks", "USD")
    rows = {row["name"]: row for row in report["workspaces"]}
    phi = rows["phi-3"]
    assert (phi["instanceType"], phi["nodes"], phi["gpus"], phi["context"]) == ("Standard_NC6s_v3", 1, 1, 4096)
    assert phi["memory"]["parts"]["kvCache"] > 0
    assert sum(phi["memory"]["parts"].values()) == phi["memory"]["needed"] <= phi["memory"]["thereIs"]
    assert phi["perHour"] == 3.06
    assert sum(row["perHour"] for row in rows.values()) == report["perHour"]
    assert report["warnings"]
