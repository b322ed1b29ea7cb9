"""From a source of data to rows to train on: fetched, read, understood, split, reported on; no model is needed."""
