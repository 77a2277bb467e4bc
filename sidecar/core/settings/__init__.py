"""Settings from what an operator wrote: a parsed file and the environment, all problems at once. No file access."""
