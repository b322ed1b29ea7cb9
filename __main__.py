"""The Pulumi program: read the stack's config, decide the plan, declare it, export what came of it."""

from pathlib import Path

import pulumi

from components import config, platform
from components.fingerprints import PROJECT, code_version
from components.machine import this_machine
from components.planning.errors import SpecError
from components.planning.plan import decide
from components.stack_file import stack_file
from components.surroundings import read_surroundings

folder = Path.cwd()
try:
    raw = config.load()
    around = read_surroundings(raw, folder, pulumi.log.info)
    plan = decide(
        raw,
        this_machine(),
        stack_file=stack_file(pulumi.get_stack()),
        code_version=code_version(PROJECT),
        around=around,
    )
    pulumi.export(platform.WORKSPACES, platform.build(plan))
except SpecError as error:
    raise pulumi.RunError(str(error)) from error
