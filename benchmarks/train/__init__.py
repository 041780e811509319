"""Whole train steps: forward, loss, backward and Adam, as each library's own users would write them for speed."""
