"""Every format gives the same rows; what is none of them is told apart."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest

from tests.tuning.data.file_server import FileServer
from tests.tuning.data.yard import Yard, jsonl, report_of

ROWS = [
    {"prompt": "Greet me", "completion": "Ahoy, matey!"},
    {"prompt": 'Say "hi", then\nwait', "completion": "hi\n…\tünïcödé 🏴‍☠️"},
    {"prompt": "Add", "completion": "4"},
]
SAID = [(row["prompt"], row["completion"]) for row in ROWS]


def _parquet(rows: list[dict[str, str]]) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def _arrow(rows: list[dict[str, str]], writer: Callable[..., pa.RecordBatchFileWriter]) -> bytes:
    out, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with writer(out, table.schema) as to:
        to.write_table(table)
    return out.getvalue()


def _csv(rows: list[dict[str, str]], delimiter: str = ",") -> bytes:
    out = io.BytesIO()
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), out, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return out.getvalue()


LINES = jsonl(*ROWS).encode()
WRITTEN: dict[str, bytes] = {
    "train.jsonl": LINES,
    "train.ndjson": LINES,
    "lines-called.json": LINES,
    "train.json": json.dumps(ROWS).encode(),
    "indented.json": json.dumps(ROWS, indent=2, ensure_ascii=False).encode(),
    "within.json": json.dumps({"version": 1, "tags": ["a"], "data": ROWS}).encode(),
    "within-indented.json": json.dumps({"data": ROWS}, indent=1).encode(),
    "train.csv": _csv(ROWS),
    "excel.csv": b"\xef\xbb\xbf" + _csv(ROWS, ";"),
    "train.tsv": _csv(ROWS, "\t"),
    "unicode-text.csv": _csv(ROWS).decode().encode("utf-16"),
    "train.parquet": _parquet(ROWS),
    "train.arrow": _arrow(ROWS, pyarrow.ipc.new_file),
    "stream.arrow": _arrow(ROWS, pyarrow.ipc.new_stream),
    "train.jsonl.gz": gzip.compress(LINES),
    "train.csv.gz": gzip.compress(_csv(ROWS)),
    "train.parquet.gz": gzip.compress(_parquet(ROWS)),
    "wrongly-called.csv": _parquet(ROWS),
    "no-ending": LINES,
    "no-ending-csv": _csv(ROWS),
    "windows.jsonl": LINES.replace(b"\n", b"\r\n\r\n"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_gives_the_same_rows(yard: Yard, name: str) -> None:
    data = yard.loaded(name, WRITTEN[name])
    assert [(row["prompt"][0]["content"], row["completion"][0]["content"]) for row in data.train] == SAID


def test_a_directory_with_several_formats_is_read_by_name(yard: Yard) -> None:
    yard.file("mounted/b/more.parquet", _parquet(ROWS[1:2]))
    yard.file("mounted/a.csv", _csv(ROWS[:1]))
    yard.file("mounted/c.json", json.dumps(ROWS[2:]))
    yard.file("mounted/README.md", "# About")
    yard.file("mounted/.hidden.csv", "x\n")
    data = yard.load({"directory": str(yard.root / "mounted"), "shuffle": False})
    assert [row["completion"][0]["content"] for row in data.train] == [answer for _, answer in SAID]
    assert len(data.digests) == 3


def test_data_sets_saved_by_datasets_are_read(yard: Yard) -> None:
    made = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:1])}
    )
    made.save_to_disk(yard.root / "saved")
    assert len(yard.load({"dataset": f"file:{yard.root}/saved"}).train) == 3
    assert len(yard.load({"dataset": f"file:{yard.root}/saved#test"}).train) == 1
    error = yard.refused({"dataset": f"file:{yard.root}/saved#validation"})
    assert error.reason == "DataNotFound"
    assert "test, train" in error.message


def test_a_directory_laid_out_as_on_the_hub_has_splits(yard: Yard) -> None:
    yard.file("set/data/train-00000-of-00001.parquet", _parquet(ROWS))
    yard.file("set/data/test-00000-of-00001.parquet", _parquet(ROWS[:1]))
    assert len(yard.load({"dataset": f"file:{yard.root}/set"}).train) == 3
    assert len(yard.load({"dataset": f"file:{yard.root}/set#test"}).train) == 1


def test_a_card_that_names_files_elsewhere_is_refused(yard: Yard) -> None:
    yard.file("set/a.csv", _csv(ROWS))
    yard.file("set/README.md", "---\nconfigs:\n- config_name: default\n  data_files: ../../secret.csv\n---\n")
    assert yard.refused({"dataset": f"file:{yard.root}/set"}).reason == "DataRefused"


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.json"))
    return out.getvalue()


HTML = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"
BAD: dict[str, tuple[str, bytes, str, str]] = {
    "a login page": ("a.csv", HTML, "DataUnreadable", "is a web page and not the data"),
    "nothing": ("a.csv", b"", "DataEmpty", "is empty"),
    "blank lines": ("a.jsonl", b"\n \n", "DataEmpty", "is empty"),
    "a header alone": ("a.csv", b"prompt,completion\n", "DataEmpty", "there are no rows"),
    "an empty list": ("a.json", b"[]", "DataEmpty", "there are no rows"),
    "an LFS pointer": ("a.parquet", LFS, "DataUnreadable", "run git lfs pull"),
    "a cut parquet": ("a.parquet", _parquet(ROWS)[:-60], "DataUnreadable", "cut off or damaged"),
    "a damaged parquet": (
        "a.parquet",
        b"PAR1" + b"\xff" * 40 + _parquet(ROWS)[44:],
        "DataUnreadable",
        "cut off or damaged",
    ),
    "a cut arrow file": ("a.arrow", WRITTEN["train.arrow"][:-60], "DataUnreadable", "cut off or damaged"),
    "a cut arrow stream": ("a.arrow", WRITTEN["stream.arrow"][:-60], "DataUnreadable", "cut off or damaged"),
    "a cut gzip": ("a.jsonl.gz", gzip.compress(LINES)[:-12], "DataUnreadable", "cut off or damaged"),
    "a damaged gzip": ("a.jsonl.gz", b"\x1f\x8b\x08" + b"\xff" * 60, "DataUnreadable", "cut off or damaged"),
    "a cut json": ("a.json", json.dumps(ROWS).encode()[:-5], "DataUnreadable", "is no JSON"),
    "an object with no list": (
        "a.json",
        b'{\n "a": {"b": 1}}\n',
        "DataUnreadable",
        "not with one list of rows",
    ),
    "a ZIP": ("a.csv", b"PK\x03\x04" + b"\0" * 40, "DataUnreadable", "a ZIP archive or a spreadsheet"),
    "a pickle": ("a.csv", b"\x80\x04\x95" + b"\0" * 40, "DataUnreadable", "a pickle"),
    "a tar": ("a.csv", _tar(), "DataUnreadable", "a tar archive"),
    "bytes": ("a.csv", b"a,b\n\0\1\2", "DataUnreadable", "neither csv, json, jsonl, parquet nor arrow"),
    "prose": ("a.json", b"Once upon a time", "DataUnreadable", "begins with 'Once upon a time'"),
    "latin-1": ("a.csv", "text\nGrüße\n".encode("latin-1"), "DataUnreadable", "is not in UTF-8"),
    "a column twice": ("a.csv", b"text,text\na,b\n", "DataUnreadable", "two columns called 'text'"),
    "a cut line": ("a.jsonl", LINES[:-9], "DataRowBroken", "row 3: it is no JSON"),
    "a list as a line": (
        "a.jsonl",
        b'{"text": "a"}\n[1]\n',
        "DataRowBroken",
        "row 2: it is list and not an object",
    ),
    "only broken lines": ("a.jsonl", b"{a\n{b\n", "DataRowBroken", "rows 1, 2: it is no JSON"),
    "numbers as rows": ("a.json", b"[1, 2]", "DataRowBroken", "rows 1, 2: it is int and not an object"),
    "a field too many": ("a.csv", b"text,b\n1,2\n1,2,3\n", "DataRowBroken", "row 2: it has 3 fields"),
    "an open quote": ("a.csv", b'text\nfine\n"never closed\n', "DataRowBroken", "row 2: it is no row of csv"),
    "half a surrogate": (
        "a.jsonl",
        b'{"text": "a"}\n{"text": "\\ud800"}\n',
        "DataRowBroken",
        "row 2: text has half of a surrogate pair",
    ),
    "a nesting without end": (
        "a.jsonl",
        b'{"text": ' + b"[" * 100_000 + b"\n",
        "DataRowBroken",
        "row 1: it is no JSON",
    ),
    "objects as texts": ("a.jsonl", b'{"text": {"a": 1}}\n', "DataRowBroken", "row 1: text is dict and not text"),
    "unknown columns": ("a.csv", b"foo,bar\n1,2\n", "DataColumnsUnknown", "the columns 'foo', 'bar'"),
    "blank answers": ("a.csv", b"prompt,completion\nhi,\nyou, \n", "DataEmpty", "all 2 rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_data_is_told_with_the_way_out(yard: Yard, files: FileServer, case: str) -> None:
    name, content, reason, told = BAD[case]
    error = yard.refused({"urls": [files.add(f"/{name}", content)], "allowed_hosts": ["127.0.0.1"]})
    assert error.reason == reason
    assert told in error.message
    assert name in error.message, "it does not say which file"


def test_five_broken_rows_are_named_and_the_rest_is_not_waited_for(yard: Yard) -> None:
    lines = ['{"text": "a"}'] * 20
    for number in (3, 7, 8, 9, 12, 15):
        lines[number - 1] = "{"
    error = yard.refused({"directory": str(yard.file("a.jsonl", "\n".join(lines)))})
    assert "rows 3, 7, 8, 9, 12: it is no JSON" in error.message
    assert "there may be more" in error.message
    assert "15" not in error.message.partition("rows")[2].partition(":")[0]


def test_a_gzip_that_grows_without_end_is_given_up(yard: Yard) -> None:
    bomb = gzip.compress(b'{"text": "' + b"a" * 10_000_000)
    error = yard.refused({"directory": str(yard.file("a.jsonl.gz", bomb)), "most_bytes": 1_000_000})
    assert error.reason == "DataTooLarge"
    assert "when it is decompressed" in error.message


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"directory": "/no/such/folder"}, "there is no /no/such/folder"),
        ({"dataset": "file:/no/such/folder"}, "there is no /no/such/folder"),
        ({"dataset": "squad"}, "is not hf:ORG/NAME"),
        ({"dataset": "pypi:a==1"}, "is not hf:ORG/NAME"),
        ({"image": "not an image"}, "is no reference to an image"),
    ],
)
def test_a_source_that_is_not_there_is_told(yard: Yard, data: dict[str, str], told: str) -> None:
    error = yard.refused(data)
    assert error.reason == "DataNotFound"
    assert told in error.message


def test_a_directory_without_data_is_told_with_what_it_has(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "it is empty" in yard.refused({"directory": str(tmp_path / "empty")}).message
    yard.file("other/notes.txt", "x")
    error = yard.refused({"directory": str(tmp_path / "other")})
    assert error.reason == "DataNotFound"
    assert "only notes.txt" in error.message


def test_a_conversation_in_one_line_is_a_row_and_not_a_list(yard: Yard) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}]
    data = yard.loaded("train.json", jsonl({"messages": talk}))
    assert data.train == ({"messages": talk},)
    assert report_of(data)["rows"] == 1


def test_what_save_to_disk_has_not_finished_is_told(yard: Yard) -> None:
    yard.file("saved/dataset_dict.json", "{")
    assert yard.refused({"dataset": f"file:{yard.root}/saved"}).reason == "DataUnreadable"


def test_a_directory_that_cannot_be_made_is_told(yard: Yard) -> None:
    yard.file("job", "a file in its place")
    error = yard.refused({"directory": str(yard.file("a.jsonl", LINES))})
    assert error.reason == "DirectoryNotWritable"
