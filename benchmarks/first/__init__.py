"""The time to the first result of a process."""
