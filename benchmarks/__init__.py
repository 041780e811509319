"""Side by side with peers: what triops takes for the same work as Thinc, PyTorch and JAX on this machine. No part
of the installed package: run it from the repository root, `python -m benchmarks ops`, `python -m benchmarks
train`."""
