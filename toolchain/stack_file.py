"""The encryption salt that Pulumi writes into Pulumi.<stack>.yaml.

Pulumi checks that line against the passphrase, and writes it whether or not a stack has secrets. Passphrase and
embedded state belong to one checkout, so a salt from another one, or from a backend used before, would end every
command with "incorrect passphrase". While a stack file holds no secret its salt protects nothing, and Pulumi takes it
from the state.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from toolchain.commands import answer

SALT = re.compile(r"^encryptionsalt: *(\S+) *\n?", re.MULTILINE)
SECRET = re.compile(r"^\s*-?\s*secure:", re.MULTILINE)
TARGET = re.compile(r"^\s*[\"']?modelyard:target[\"']?\s*:\s*[\"']?(\w+)", re.MULTILINE)
PROJECT = re.compile(r"^name: *(\S+)", re.MULTILINE)

FILTERED = "Pulumi.dev.yaml"
FILTER = "modelyard-stack"
"""Named in .gitattributes for the dev stack's file: the salt of one checkout is no change to commit."""
CLEAN = "sed '/^encryptionsalt:/d'"


def project(root: Path) -> str:
    """The project's name, as Pulumi.yaml gives it."""
    found = PROJECT.search((root / "Pulumi.yaml").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{root / 'Pulumi.yaml'} has no name")
    return found[1]


def target(root: Path, stack: str) -> str:
    """Where a stack runs, as its file says; `local` where it does not, or where there is no file yet.

    Read as text, since nothing that reads YAML is installed yet: what is not written as people write it is local, and
    the program, which reads it properly, says what is then missing.
    """
    path = root / f"Pulumi.{stack}.yaml"
    found = TARGET.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
    return "local" if found is None else found[1]


def checkpoint(state: Path, project_name: str, stack: str) -> dict[str, object] | None:
    """The latest deployment of a stack in a file backend, or None if it has none that can be read."""
    path = state / ".pulumi" / "stacks" / project_name / f"{stack}.json"
    try:
        latest = json.loads(path.read_text(encoding="utf-8"))["checkpoint"]["latest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return latest if isinstance(latest, dict) else None


def drop_foreign_salt(root: Path, state: Path, stack: str) -> bool:
    """Remove the salt from a stack file without secrets if it is not the one in the state; says whether it did."""
    path = root / f"Pulumi.{stack}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return False
    salt = SALT.search(text)
    if salt is None or SECRET.search(text) is not None or salt[1] == _salt_in(checkpoint(state, project(root), stack)):
        return False
    path.write_text(SALT.sub("", text), encoding="utf-8")
    return True


def hide_salt_from_git(root: Path, environ: Mapping[str, str]) -> None:
    """Have git overlook the salt in the dev stack's file: set, in this checkout only, the filter of .gitattributes."""
    git = shutil.which("git", path=environ.get("PATH", ""))
    if git is None or not (root / ".git").exists():
        return

    def ask(*words: str) -> str | None:
        return answer([git, "-C", root, *words], env=environ)

    if (ask("config", "--local", f"filter.{FILTER}.clean") or "").strip() != CLEAN:
        ask("config", "--local", f"filter.{FILTER}.clean", CLEAN)
    unchanged = ask("diff", "--quiet", "--", FILTERED) is not None
    if unchanged and ask("ls-files", "--modified", "--", FILTERED):
        # git takes a file of another size for modified, unfiltered; to add it, content as it is, notes the new size.
        ask("add", "--", FILTERED)


def _salt_in(latest: dict[str, object] | None) -> str | None:
    match latest:
        case {"secrets_providers": {"type": "passphrase", "state": {"salt": str(salt)}}}:
            return salt
        case _:
            return None
