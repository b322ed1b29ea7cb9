"""KAITO's manifests, unchanged: read from YAML (documents, schema), judged as KAITO judges them, and turned into
workspaces of our own config (read, workspace, resource, inference_config, training_config, annotations). names says
which models they name, so that those beyond the catalogue are described first.

Rules and field names are those of kaito-project/kaito at 056b8280 (just after v0.12.0), api/v1beta1 and api/v1alpha1.
"""
