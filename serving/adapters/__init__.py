"""Adapters: from a source (presets.adapter_source) to a checked directory, to a model id that requests may name.

    errors.py     why an adapter is refused, each reason with its way out
    fetch.py      source -> FetchedAdapter, in a cache; oci.py (over serving.oci), archive.py and hub.py do the
                  work of each kind
    check.py      what can be told of an adapter without the model: its config and the header of its tensors
    registry.py   AdapterRegistry: the adapters of one replica, kept as they are wanted while it serves
    report.py     what a replica tells of its adapters

Runs in the replica and imports no torch; that an adapter fits the model's own modules is for the engine to say.
"""
