"""Stacks to start from, each with the plan that a preview prints of it.

A folder has README.md, config.yaml (to be copied to Pulumi.<stack>.yaml beside Pulumi.yaml) and plan.txt. `make
examples` writes the plans again, and a test fails where one differs. Imports components.planning; nothing imports it.
"""
