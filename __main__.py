"""The Pulumi program: read the stack's config, decide the plan, declare it, export what came of it."""

from pathlib import Path

import pulumi

from components import config, platform
from components.fingerprints import code_version
from components.machine import this_machine
from components.planning.errors import SpecError
from components.planning.plan import make_plan
from components.planning.spec import parse_spec

try:
    spec = parse_spec(config.load(), stack_file=config.stack_file(pulumi.get_stack()))
    plan = make_plan(spec, this_machine(), code_version=code_version(Path.cwd()))
except SpecError as error:
    raise pulumi.RunError(str(error)) from error

pulumi.export(platform.WORKSPACES, platform.build(plan))
