"""Why a caller does not get what it asks for.

CallRefused
├── InvalidApiKey           there are keys, and the request has none of them
├── ModelNotAllowed         the key is not for this model
├── AdminKeyRequired        the key is not for this endpoint
├── LimitReached            the key has used what it may use for now
└── RequestTimedOut         the service's own limit of time
"""

from __future__ import annotations

from typing import Literal

Limit = Literal["requests", "tokens", "concurrent_requests"]


class CallRefused(Exception):
    """str() is a sentence for the caller."""


class InvalidApiKey(CallRefused):
    """The request has no key, or one that nobody was given."""


class ModelNotAllowed(CallRefused):
    """The key is for other models."""


class AdminKeyRequired(CallRefused):
    """The key may not change the service for others."""


class LimitReached(CallRefused):
    """One of the key's limits; the caller may try again in `retry_after` seconds."""

    def __init__(self, limit: Limit, message: str, retry_after: float) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(message)


class RequestTimedOut(CallRefused):
    """The request was not answered within the service's limit of time."""
