"""One question to a workspace's model and to each of its adapters; `make tune-demo` ends with it.

python -m examples.ask --stack STACK --workspace NAME QUESTION
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import httpx

_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.ask", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("question")
    options = parser.parse_args()
    command = ["pulumi", "stack", "output", "workspaces", "--json", "--stack", options.stack]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    if output.returncode != 0:
        sys.stderr.write(f"stack {options.stack} cannot be read: {output.stderr.strip()}\n")
        return 1
    workspace = json.loads(output.stdout).get(options.workspace)
    if workspace is None:
        sys.stderr.write(f"stack {options.stack} has no workspace {options.workspace}; make up STACK={options.stack}\n")
        return 1
    sys.stdout.write(f"\n{options.question}\n")
    with httpx.Client(base_url=workspace["endpoint"], timeout=_SECONDS, trust_env=False) as client:
        models = [model["id"] for model in client.get("models").raise_for_status().json()["data"]]
        for model in models:
            sys.stdout.write(f"  {model:<16} {_answer(client, model, options.question)}\n")
    return 0


def _answer(client: httpx.Client, model: str, question: str) -> str:
    """Its likeliest answer, on one line."""
    body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 40}
    answer = client.post("chat/completions", json=body).raise_for_status().json()
    return " ".join(str(answer["choices"][0]["message"]["content"]).split())


if __name__ == "__main__":
    sys.exit(main())
