"""From a source of data to rows to train on: fetched, read, understood, split, reported on; no model is needed.

    addresses.py  which hosts a URL may lead to
    download.py   a URL to a file
    source.py     whatever the source is, to files
    read.py       a file to records, as they stand in it
    columns.py    records to rows, as trl takes them
    split.py      which rows are trained on, and which are held out
    report.py     what there is to say of them
    load.py       all of it
    rows.py       what the others take

Reasons of failures: DataUnreachable, DataNotFound, DataRefused, DataTooLarge, DataChecksumMismatch, DataUnreadable,
DataEmpty, DataColumnsUnknown, DataRowBroken, and those of weights for images and the hub.
"""
