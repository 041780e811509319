"""Existing spaCy pipelines before and after `triops.accelerate_thinc()`: training and prediction on real text."""
