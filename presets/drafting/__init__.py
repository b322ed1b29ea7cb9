"""A preset drafted from a model's own files: config.json, and the headers and sizes of its safetensors.

The rest of presets is facts and arithmetic. What is here reads directories (repository_files.py) and asks the Hugging
Face hub (hub_files.py); the draft itself is pure (draft.py and what it imports), and so is its entry (entry_yaml.py).
command.py is `python -m presets.add`. Two modules import this package: presets/add.py and components/model_facts.py,
which keeps what was found, so that planning gets presets as values and never looks for them; import-linter holds it.
"""
