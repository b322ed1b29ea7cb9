"""What there is to say of the data, before a model is loaded: sizes in tokens above all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from tuning.data.columns import Understood
from tuning.data.read import Record
from tuning.data.rows import Row

_NAMED = 20
"""Rows of one sort that the report names."""
_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Tokens of a row: all of it, and of these what is asked before anything is learnt."""

    whole: int
    asked: int


def sizes(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> list[Sizes]:
    """As the trainer will see them, before anything is cut."""
    whole = _counted([_rendered(row, tokenizer) for row in rows], tokenizer)
    asked = _counted([_question(row, tokenizer) for row in rows], tokenizer)
    return [Sizes(whole=one, asked=other) for one, other in zip(whole, asked, strict=True)]


def write(
    file: Path,
    understood: Understood,
    counted: Sequence[Sizes],
    max_length: int,
    *,
    train: int,
    held_out: int,
    duplicates: int,
    digests: Mapping[str, str],
) -> str:
    """Write the report as JSON; a sentence of it for people."""
    lengths = sorted(each.whole for each in counted)
    cut = [record for (record, _), each in zip(understood.rows, counted, strict=True) if each.whole > max_length]
    longest = max(zip(counted, understood.rows, strict=True), key=lambda pair: pair[0].whole)
    report = {
        "rows": len(lengths) + len(understood.empty),
        "trained_on": train,
        "held_out": held_out,
        "columns": understood.columns,
        "kind": understood.kind,
        "tokens": {
            "all": sum(lengths),
            "mean": round(sum(lengths) / len(lengths), 1),
            "median": lengths[len(lengths) // 2],
            "95th_percentile": lengths[min(len(lengths) - 1, len(lengths) * 95 // 100)],
            "longest": longest[0].whole,
            "longest_row": _named(longest[1][0]),
        },
        "max_length": max_length,
        "cut": {"rows": len(cut), "share": round(len(cut) / len(lengths), 4), "which": _names(cut)},
        "duplicates": duplicates,
        "empty": {"rows": len(understood.empty), "which": _names(understood.empty)},
        "files": dict(digests),
    }
    file.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return _sentence(report)


def _sentence(report: Mapping[str, Any]) -> str:
    tokens, cut, empty = report["tokens"], report["cut"], report["empty"]
    parts = [
        f"{report['trained_on']} rows to train on and {report['held_out']} held out",
        f"{tokens['all']:,} tokens, {tokens['longest']:,} in the longest row",
        report["columns"],
    ]
    parts += [f"{cut['rows']} rows are cut off at {report['max_length']:,} tokens"] if cut["rows"] else []
    parts += [f"{empty['rows']} empty rows are left out"] if empty["rows"] else []
    parts += [f"{report['duplicates']} rows are there twice"] if report["duplicates"] else []
    return "; ".join(parts)


def _rendered(row: Row, tokenizer: PreTrainedTokenizerBase) -> str:
    messages = row.get("messages")
    if messages is None and isinstance(row.get("prompt"), list):
        messages = [*row["prompt"], *row["completion"]]
    if messages is not None:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    return str(row.get("text") or f"{row.get('prompt', '')}{row.get('completion', '')}")


def _question(row: Row, tokenizer: PreTrainedTokenizerBase) -> str:
    prompt = row.get("prompt", "")
    if isinstance(prompt, list):
        return str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True))
    return str(prompt)


def _counted(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    counted: list[int] = []
    for start in range(0, len(texts), _BATCH):
        tokens = tokenizer(list(texts[start : start + _BATCH]), add_special_tokens=False, verbose=False)
        counted += [len(each) for each in tokens["input_ids"]]
    return counted


def _names(records: Sequence[Record]) -> list[str]:
    return [_named(record) for record in records[:_NAMED]]


def _named(record: Record) -> str:
    return f"{record.file}, row {record.number}"
