"""From a stack's config to a complete plan: spec (parse), plan (decide), render (canonical bytes), table, changes.

Pure: no pulumi, no network, no clock, no randomness, so that every error of a preview is found without a CLI.
"""
