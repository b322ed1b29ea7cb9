"""What a plan becomes on a Kubernetes cluster: manifests as plain values, the same bytes for the same plan.

`stack.py` puts together what a stack applies, `workspace.py` what one workspace is made of; the other modules render
one kind of thing each. Pure, as all of planning: what needs the files of the project comes in as a Delivery.
"""
