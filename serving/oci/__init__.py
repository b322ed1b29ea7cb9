"""OCI registries: what adapters and weights that come as images or artifacts have in common.

    client.py       requests, with docker's credentials
    image.py        one image: its digest, its layers, and a layer's bytes, checked
    download.py     a blob on its way into a file
    layer.py        the files of a layer that is a tar archive, none of which is believed
    layer_file.py   such a layer, decompressed, with bounds on what that may cost

Failures are WeightsErrors; adapters make theirs of them.
"""
