"""Tool calls in the text of a model: each format's grammar and parser, a module each."""
