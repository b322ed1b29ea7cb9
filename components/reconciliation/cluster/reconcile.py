"""Waits for one workspace on a cluster: looks, decides, acts and tells until it is ready, cannot be, or is late."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from components.reconciliation.cluster.act import act
from components.reconciliation.cluster.api import ClusterApi, ClusterError, ClusterUnreachable, Conflict, Missing
from components.reconciliation.cluster.decide import decide
from components.reconciliation.cluster.lists import Lists
from components.reconciliation.cluster.observe import log_tail, observe
from components.reconciliation.cluster.phases import BUDGETS, Phase, overdue, phase_of, progress
from components.reconciliation.cluster.values import Seen, Verdict, Wanted
from components.reconciliation.service import NotReady
from components.reconciliation.state import not_ready

_POLL_SECONDS = 1.5
_HEARTBEAT_SECONDS = 15.0
SILENT_SECONDS = 120.0
"""For which the API server may be away, as while it is restarted."""
_FINAL_LOOKS = 3
"""In a row that say that waiting is of no use, before it is given up: what was just changed looks old for a moment."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A workspace that is ready: what was seen last, and the seconds of each phase."""

    seen: Seen
    verdict: Verdict
    phases: Mapping[Phase, float] = field(default_factory=dict[Phase, float])


@dataclass(kw_only=True)
class Watch:
    """One workspace's wait."""

    api: ClusterApi
    lists: Lists
    wanted: Wanted
    say: Callable[[str], None]
    """Takes a line for the output of `pulumi up`."""
    tell: Callable[[Seen, Verdict, bool], None]
    """Takes what was found for the mirror; the last argument: whether waiting is over."""
    limit_seconds: float | None = None
    """For all phases together; None: each has its own."""
    _phases: dict[Phase, float] = field(default_factory=dict[Phase, float])
    _said: str = ""
    _said_at: float = 0.0

    def until_ready(self) -> Reached:
        """Raises NotReady with the reason, ClusterError where the cluster itself is in the way."""
        begun = heard = last = time.monotonic()
        hopeless = 0
        while True:
            try:
                seen = observe(self.api, self.lists, self.wanted)
            except ClusterUnreachable as problem:
                if time.monotonic() - heard > SILENT_SECONDS:
                    raise
                self._line(f"{self.wanted.name}: {problem}")
                time.sleep(_POLL_SECONDS)
                continue
            verdict = decide(self.wanted, seen)
            heard = now = time.monotonic()
            phase = phase_of(seen.pods, seen.jobs, seen.application.status if seen.application else None)
            self._phases[phase] = self._phases.get(phase, 0.0) + now - last
            last = now
            if verdict.ready:
                return Reached(seen=seen, verdict=verdict, phases={**self._phases})
            self._report(phase, verdict)
            self.tell(seen, verdict, False)
            hopeless = hopeless + 1 if verdict.final else 0
            if hopeless >= _FINAL_LOOKS:
                raise self._end(seen, verdict)
            if late := self._late(phase, now - begun):
                raise self._end(seen, verdict, late)
            try:
                self._act(seen, verdict)
            except (ClusterUnreachable, Missing, Conflict) as problem:
                # It was looked at a moment ago, and is another one now; or nobody is there. The next look tells.
                self._line(f"{self.wanted.name}: {problem}")
                self.lists.forget()
            time.sleep(_POLL_SECONDS)

    def _act(self, seen: Seen, verdict: Verdict) -> None:
        for action in verdict.actions:
            act(self.api, self.wanted, action)
        if verdict.actions:
            self.lists.forget()
        if seen.application is not None or verdict.actions:
            # From here on a failure is the answer to what is wanted now.
            self.wanted = replace(self.wanted, sent=True)

    def _late(self, phase: Phase, seconds: float) -> str:
        if self.limit_seconds is not None:
            limit = self.limit_seconds
            return f"after {limit:.0f} s; raise readyTimeoutSeconds if it only needs longer" if seconds > limit else ""
        if not overdue(phase, self._phases[phase]):
            return ""
        return (
            f"after {self._phases[phase]:.0f} s in the phase {phase}, for which {BUDGETS[phase].limit} s are allowed; "
            "set readyTimeoutSeconds if it only needs longer"
        )

    def _end(self, seen: Seen, verdict: Verdict, late: str = "") -> NotReady:
        self.tell(seen, verdict, True)
        problem = verdict.first_problem
        message = f"still {problem.message} {late}" if late else problem.message
        if verdict.log_of is not None and (log := self._log(*verdict.log_of)):
            message += f"; last lines of {verdict.log_of[0]}/{verdict.log_of[1]}:\n{log}"
        return NotReady(self.wanted.name, not_ready(problem.reason, message))

    def _log(self, pod: str, container: str) -> str:
        try:
            return log_tail(self.api, self.wanted.namespace, pod, container)
        except ClusterError:
            return ""

    def _report(self, phase: Phase, verdict: Verdict) -> None:
        problem = verdict.first_problem
        text = f"{self.wanted.name}: {problem.reason}: {problem.message}"
        self._line(text, f"{text} ({progress(phase, self._phases[phase])})")

    def _line(self, text: str, again: str = "") -> None:
        """Say what is new at once, and that it goes on every quarter of a minute."""
        now = time.monotonic()
        if text == self._said and now - self._said_at < _HEARTBEAT_SECONDS:
            return
        self.say(again or text)
        self._said, self._said_at = text, now
