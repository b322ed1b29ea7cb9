"""What gets provisioned: one ComponentResource a file, the plan they follow, and the reconciliation behind them.

Imports nothing, so that components.planning can be used where there is no Pulumi.
"""
