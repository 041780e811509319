"""A tagger of real English text on every backend: how fast it learns, what it learns, and where the time goes."""
