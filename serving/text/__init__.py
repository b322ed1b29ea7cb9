"""From text to tokens and back: the model's tokenizer and chat template, streamed text, stop strings."""
