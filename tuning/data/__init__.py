"""From a source of data to rows to train on: fetched, read, understood, split, and reported on before a model is loaded."""
