"""The second engine: vLLM, for nodes whose image has it.

Nothing here imports vllm but `library`, and that only when an engine starts: the rest can be read, checked and tested
where vLLM is not installed. vLLM has a process of its own and batches by itself; `engine` is in front of it.
"""
