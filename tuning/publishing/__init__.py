"""An adapter's way out of its job: a version in the job's directory, a copy on a volume, an image in a registry.

version.py   the directory of a version, with report and card
card.py      the card: what the adapter is and what it was made from
image.py     the image as KAITO's tuning makes it
push.py      the image at its registry
check.py     whether there is a place for it, before hours are spent
publish.py   all of it
"""
