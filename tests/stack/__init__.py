"""End to end: the real pulumi CLI on a file backend, the real Ray, the real model, the real OpenAI client."""
