"""From rows and a model to an adapter: the model as it is trained, trl's trainer, and its checkpoints.

model.py        the model and its tokenizer, loaded as the job wants them
settings.py     what peft's and trl's own classes are made with
checkpoints.py  which of them may be gone on with
watching.py     what the trainer tells while it works, and what ends it
failures.py     what libraries raise, as reasons with a way out
train.py        all of it, to an adapter in the job's directory
"""
