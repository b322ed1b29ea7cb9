"""The codes that an error of this service can carry; docs/api.md says when each is sent."""

from __future__ import annotations

from typing import Literal

ErrorCode = Literal[
    "adapter_already_loaded",
    "adapter_failed",
    "adapter_loading",
    "adapter_not_loaded",
    "adapter_refused",
    "admin_key_required",
    "body_timeout",
    "chat_template_missing",
    "context_length_exceeded",
    "engine_overloaded",
    "engine_unavailable",
    "generation_failed",
    "http_error",
    "internal_error",
    "invalid_api_key",
    "invalid_body",
    "invalid_json",
    "invalid_messages",
    "invalid_schema",
    "invalid_type",
    "invalid_value",
    "method_not_allowed",
    "missing_required_parameter",
    "model_not_allowed",
    "model_not_found",
    "model_not_supported",
    "previous_response_not_found",
    "rate_limit_exceeded",
    "request_timeout",
    "request_too_large",
    "response_not_found",
    "tools_not_supported",
    "several_replicas",
    "unknown_parameter",
    "unknown_url",
    "unsupported_parameter",
    "unsupported_value",
]
"""Stable: a client may decide by them what to do. A new one may come with any version."""
