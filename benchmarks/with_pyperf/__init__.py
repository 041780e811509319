"""The engine of `triops bench run` beside pyperf, which measures the same calls in its own way."""
