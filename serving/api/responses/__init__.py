"""OpenAI's /v1/responses: answers that are kept, so that a request may go on from one."""
