"""From rows and a model to an adapter: the model as it is trained, trl's trainer, and its checkpoints.

model.py        the model and its tokenizer, loaded as the job wants them
settings.py     what peft's and trl's own classes are made with
labels.py       rows as the trainer takes them, with the tokens that are learnt
checkpoints.py  which of them may be gone on with
watching.py     what the trainer tells while it works, and what ends it
memory.py       the most that it has taken
failures.py     what libraries raise, as reasons with a way out
fit.py          the trainer's run
devices.py      the same by several processes, one a GPU
trained.py      the adapter in the job's directory, and whether it is there already
train.py        all of it
"""
