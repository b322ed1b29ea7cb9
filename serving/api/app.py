"""The HTTP application of one replica, made from its parts."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from serving.api.adapters.handler import AdapterAdmin
from serving.api.adapters.router import adapters_router
from serving.api.authentication import Authenticated
from serving.api.chat.handler import Chat
from serving.api.chat.router import chat_router
from serving.api.chat_completions.handler import ChatCompletions
from serving.api.chat_completions.router import chat_completions_router
from serving.api.completions.handler import Completions
from serving.api.completions.router import completions_router
from serving.api.detokenize.handler import Detokenize
from serving.api.detokenize.router import detokenize_router
from serving.api.embeddings.handler import Embeddings
from serving.api.embeddings.router import embeddings_router
from serving.api.errors import install_error_handlers
from serving.api.generation import Generation
from serving.api.key_usage.handler import KeyUsage
from serving.api.key_usage.router import key_usage_router
from serving.api.middleware import BoundedBody, Measured
from serving.api.models.router import models_router
from serving.api.responses.handler import Responses
from serving.api.responses.router import responses_router
from serving.api.responses.store import ResponseStore
from serving.api.smoke.handler import Smoke
from serving.api.smoke.router import smoke_router
from serving.api.status.handler import Status
from serving.api.status.router import status_router
from serving.api.tokenize.handler import Tokenize
from serving.api.tokenize.router import tokenize_router
from serving.callers.callers import Callers
from serving.metrics import ServiceMetrics
from serving.version import VERSION

_MIN_BODY_LIMIT = 4 * 2**20
_BODY_BYTES_PER_TOKEN = 64
"""A token is 4 bytes of English and at most 30 of anything that people write; JSON may escape each as six."""


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """What the application is made from."""

    generation: Generation
    adapters: AdapterAdmin
    status: Status
    metrics: ServiceMetrics
    callers: Callers


def create_app(parts: ApiParts) -> FastAPI:
    """The application. It knows nothing of the prefix that it is mounted under: that comes with each request."""
    generation = parts.generation
    app = FastAPI(
        title=f"Modelyard: {generation.models.default.id}",
        description="OpenAI's API for one model, KAITO's /chat, vLLM's /tokenize, and the service's own endpoints.",
        version=VERSION,
        redoc_url=None,
        # Refuses nothing, which is Authenticated's to do: it is how the page /docs asks for a key.
        dependencies=[Depends(HTTPBearer(auto_error=False, description="An API key, where there are any."))],
    )
    app.include_router(chat_completions_router(ChatCompletions(generation)))
    app.include_router(completions_router(Completions(generation)))
    app.include_router(responses_router(Responses(generation, ResponseStore())))
    app.include_router(embeddings_router(Embeddings(generation.models)))
    app.include_router(models_router(generation.models))
    app.include_router(key_usage_router(KeyUsage(parts.callers)))
    app.include_router(adapters_router(parts.adapters))
    app.include_router(chat_router(Chat(generation)))
    app.include_router(smoke_router(Smoke(generation)))
    app.include_router(tokenize_router(Tokenize(generation)))
    app.include_router(detokenize_router(Detokenize(generation)))
    app.include_router(status_router(parts.status, parts.metrics.registry))
    install_error_handlers(app)
    app.add_middleware(BoundedBody, max_bytes=max(_MIN_BODY_LIMIT, _BODY_BYTES_PER_TOKEN * generation.max_context))
    app.add_middleware(Authenticated, callers=parts.callers)
    app.add_middleware(Measured, metrics=parts.metrics)
    return app
