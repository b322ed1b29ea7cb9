"""What makes adapters: data, train, evaluate, publish. Imports presets at most. Empty in this version."""
