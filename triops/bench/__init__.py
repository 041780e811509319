"""Measuring triops, behind the command line: cases, timing, results, and what the machine is. Everything here
computes through models and ops; no array framework is imported."""
