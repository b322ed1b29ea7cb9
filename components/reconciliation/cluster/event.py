"""Events, whether they are read from the core API or from events.k8s.io."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.partial_json import mapping, name_of, number, text

_SECONDS = len("2026-08-21T10:00:00")


def subject(event: Json) -> Json:
    """The reference to what the event is about: kind, name, namespace, uid."""
    return mapping(event, "involvedObject") or mapping(event, "regarding")


def words(event: Json) -> str:
    return text(event, "message") or text(event, "note")


def times(event: Json) -> int:
    """How often it happened."""
    counts = (number(event, "series", "count"), number(event, "count"), number(event, "deprecatedCount"))
    return max(1, *counts)


def last_seen(event: Json) -> str:
    """RFC 3339 in UTC, to the second, so that it compares as text; empty if the event does not say."""
    fields = ("lastTimestamp", "deprecatedLastTimestamp", "eventTime", "firstTimestamp")
    found = (text(event, "series", "lastObservedTime"), *(text(event, field) for field in fields))
    return max(moment[:_SECONDS] for moment in found)


def created(obj: Json) -> str:
    """When an object was created, in the form of `last_seen`."""
    return text(obj, "metadata", "creationTimestamp")[:_SECONDS]


def newest_first(events: Iterable[Json]) -> list[Json]:
    """The same order for the same events, in whatever order they come."""
    by_words = sorted(events, key=lambda event: (text(subject(event), "name"), words(event)))
    return sorted(by_words, key=last_seen, reverse=True)


def of_objects(events: Iterable[Json], objects: Iterable[Json]) -> list[Json]:
    """The events of some objects only: a namespace has those of every workspace in it."""
    names = {name_of(obj) for obj in objects}
    return [event for event in events if text(subject(event), "name") in names]


def about(obj: Json, events: Sequence[Json], kind: str, reasons: Iterable[str]) -> list[Json]:
    """The events of one object with one of the reasons, newest first; not those of a namesake that is gone."""
    wanted, name, uid = set(reasons), name_of(obj), text(obj, "metadata", "uid")
    return newest_first(
        event
        for event in events
        if text(event, "reason") in wanted
        and text(subject(event), "kind") == kind
        and text(subject(event), "name") == name
        and (not uid or text(subject(event), "uid") in ("", uid))
    )
