"""Single operations, each against the same operation of every peer, and against what the machine can do."""
