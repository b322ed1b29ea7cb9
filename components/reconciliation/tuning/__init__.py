"""Reconciliation of tunings: one Ray job for each, waited for, and its adapter promoted when it has passed the gate.

What the job says of itself comes by its log (presets.tuning_job). Imported by components; imports no other target's.
"""
