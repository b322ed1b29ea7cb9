"""What makes adapters: one job (presets.tuning_job) to its end, as a process of its own.

    data/          from a source to rows that trl can train on, and what there is to say of them
    training/      the model, the trainer, its checkpoints
    evaluation/    what the adapter has changed, the gate, the report
    publishing/    the adapter's files, as an image and as a directory
    run.py         the whole job; `python -m tuning` calls it
    errors.py      why there is no adapter
    progress.py    where a job is, told line by line

Imports presets and of serving what fetches: weights, registries. Knows neither Pulumi nor which target it runs on.
"""
