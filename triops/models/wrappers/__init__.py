"""Models of other libraries as triops models: one file a library, loaded only when it is used."""
