"""Gets what the cluster tests need, before `make test-cluster` runs them.

Where this machine cannot have a cluster nothing is downloaded or built: the tests are then skipped, and say why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.rig import requirements
from toolchain import cluster_programs
from toolchain.layout import Layout

KUBECONFIG = "MODELYARD_TEST_KUBECONFIG"
"""Names a kubeconfig: the tests then use that cluster instead of a rig."""


def main() -> int:
    """Returns the status of what failed, or 0; a cluster that cannot be had fails nothing."""
    if os.environ.get(KUBECONFIG):
        return _set_up("kubernetes")
    _install_packages()
    lacking = requirements.missing()
    if not lacking and shutil.which("go") is None and cluster_programs.find(Layout.of(os.environ)) is None:
        lacking.append("Go is missing, and some programs of a cluster have no official release: https://go.dev/dl/")
    if lacking:
        sys.stderr.write("".join(f"No cluster on this machine: {each}\n" for each in lacking))
        return 0
    if (status := _set_up("kubernetes")) != 0:
        return status
    if _set_up("cluster") != 0:
        sys.stderr.write("No cluster on this machine: its programs cannot be had, for the reason above\n")
    return 0


def _set_up(*sets: str) -> int:
    return subprocess.run([sys.executable, "-m", "toolchain", "setup", *sets], check=False).returncode


def _install_packages() -> None:
    """As root on Debian and what is made from it; anybody else is told what to install."""
    packages = requirements.missing_packages()
    if not packages or os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", *packages]
    sys.stderr.write(f"Installing {', '.join(packages)} for the cluster tests\n")
    if subprocess.run(install, env=env, capture_output=True, check=False).returncode != 0:
        subprocess.run(["apt-get", "update"], env=env, capture_output=True, check=False)
        subprocess.run(install, env=env, stdout=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    sys.exit(main())
