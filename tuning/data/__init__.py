"""From a source of data to rows to train on, before any model is loaded.

load.py        the whole step
source.py      settings to files: download.py (URLs; addresses.py), image.py, hub.py, layout.py
formats.py     what a file is; read.py: its rows
columns.py     which columns are what; messages.py: contents and conversations
examples.py    all rows of all files
lengths.py     tokens of rows, as text by template.py
split.py       trained on or held out
report.py      what there is to say of it
rows.py        what load() hands on
errors.py      the reasons of failures
"""

from tuning.data.load import load
from tuning.data.rows import Data, Kind, Row

__all__ = ["Data", "Kind", "Row", "load"]
