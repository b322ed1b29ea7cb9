"""What there is to say of the data: a file for programs, a sentence for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tuning.data.errors import room
from tuning.data.examples import MOST_NAMED, Examples, Place
from tuning.data.lengths import Lengths
from tuning.data.split import Split

FILE = "data-report.json"
_MOST_LISTED = 1000
"""Rows that the file names of each kind."""
_PERCENTILE = 0.95


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """Of rows that are kept, uncut; of `rows` of them."""

    rows: int
    total: int
    """Of all rows that are kept; reckoned from the mean where not all were counted."""
    mean: float
    p95: int
    longest: int
    max_length: int
    truncated: int
    """Rows longer than max_length, of those counted."""
    truncated_share: float


def token_counts(found: Lengths, kept: int, max_length: int) -> TokenCounts:
    counted = sorted(
        count for number, count in zip(found.rows, found.tokens, strict=True) if number not in found.filled
    )
    # A sample may have drawn none of the few rows that are kept.
    counted = counted or [0]
    mean = sum(counted) / len(counted)
    truncated = sum(count > max_length for count in counted)
    return TokenCounts(
        rows=len(counted),
        total=sum(counted) if len(counted) == kept else round(mean * kept),
        mean=round(mean, 1),
        p95=counted[min(len(counted) - 1, int(_PERCENTILE * len(counted)))],
        longest=counted[-1],
        max_length=max_length,
        truncated=truncated,
        truncated_share=round(truncated / len(counted), 4),
    )


@dataclass(frozen=True, kw_only=True)
class Report:
    examples: Examples
    split: Split
    lengths: Lengths
    tokens: TokenCounts
    digests: Mapping[str, str]

    def write(self, file: Path) -> None:
        """Raises DataError (NoSpace)."""
        making = file.with_name(file.name + ".making")
        with room(file.parent, 0, "the report on the data"):
            making.write_text(json.dumps(self._content(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            making.replace(file)

    @property
    def summary(self) -> str:
        """One sentence."""
        columns, tokens, split = self.examples.columns, self.tokens, self.split
        files = f"{len(self.digests)} files" if len(self.digests) > 1 else next(iter(self.digests))
        parts = [
            f"{len(split.train) + len(split.held_out)} rows of {files} with {_and(columns.all)} ({columns.why})",
            f"{len(split.train)} are trained on and {len(split.held_out)} held out",
            f"{tokens.mean:.0f} tokens on average, 95% of the rows up to {tokens.p95}, the longest {tokens.longest}"
            + self._sampled(),
        ]
        if tokens.truncated:
            longest = self.examples.told([place for place, _ in self._longest() if _ > tokens.max_length])
            parts.append(
                f"{tokens.truncated_share:.1%} of the rows are cut at max_length, {tokens.max_length} tokens (longest: "
                f"{longest})"
            )
        if split.duplicates:
            parts.append(f"{split.duplicates} rows are exact duplicates, which are trained on and not held out")
        if empty := self.examples.empty:
            parts.append(f"{len(empty)} left out as blank ({self.examples.told(empty)})")
        if filled := self._filled():
            parts.append(
                f"{len(filled)} left out as the question alone takes max_length ({self.examples.told(filled)})"
            )
        if self.examples.blanks:
            parts.append(f"blank contents among what is not learned: {self.examples.blanks}")
        return "; ".join(parts)

    def _content(self) -> dict[str, object]:
        columns, split = self.examples.columns, self.split
        return {
            "kind": columns.kind,
            "columns": {"asked": list(columns.asked), "learned": columns.learned, "why": columns.why},
            "rows": len(split.train) + len(split.held_out),
            "train": len(split.train),
            "held_out": len(split.held_out),
            "held_out_rows": self._listed([self.examples.places[number] for number in split.held_out]),
            "tokens": asdict(self.tokens) | {"sampled": bool(self._sampled())},
            "longest": [{**self._named(place), "tokens": count} for place, count in self._longest()],
            "duplicates": split.duplicates,
            "empty": {"count": len(self.examples.empty), "rows": self._listed(self.examples.empty)},
            "question_too_long": {"count": len(self._filled()), "rows": self._listed(self._filled())},
            "blank_contents": self.examples.blanks,
            "files": [{"name": name, "digest": digest} for name, digest in self.digests.items()],
            "summary": self.summary,
        }

    def _longest(self) -> list[tuple[Place, int]]:
        """The longest rows that are kept, with their tokens."""
        kept = (
            (count, number)
            for number, count in zip(self.lengths.rows, self.lengths.tokens, strict=True)
            if number not in self.lengths.filled
        )
        longest = sorted(kept, key=lambda each: (-each[0], each[1]))[:MOST_NAMED]
        return [(self.examples.places[number], count) for count, number in longest]

    def _filled(self) -> list[Place]:
        return [self.examples.places[number] for number in sorted(self.lengths.filled)]

    def _sampled(self) -> str:
        count = len(self.lengths.rows)
        return f" (counted in {count} rows drawn at random)" if count < len(self.examples.rows) else ""

    def _listed(self, places: Sequence[Place]) -> list[dict[str, object]]:
        return [self._named(place) for place in places[:_MOST_LISTED]]

    def _named(self, place: Place) -> dict[str, object]:
        return {"file": self.examples.names[place[0]], "row": place[1]}


def _and(names: Sequence[str]) -> str:
    return f"the column {names[0]}" if len(names) == 1 else f"the columns {', '.join(names[:-1])} and {names[-1]}"
