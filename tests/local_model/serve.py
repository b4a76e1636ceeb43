"""Serves a small model on 127.0.0.1 until its input is closed; run by a Python that has xllamacpp.

Nothing of the project is imported here: the packages live in an environment of their own.
"""

from __future__ import annotations

import sys
from importlib import import_module

CONTEXT_TOKENS = 8_192
SEED = 7


def main(weights: str) -> None:
    """Load, say where it listens, and wait."""
    llama = import_module("xllamacpp")  # only its own environment has it
    params = llama.CommonParams()
    params.model.path = weights
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.sampling.seed = SEED
    params.use_jinja = True
    params.offline = True
    server = llama.Server(params)
    sys.stdout.write(f"listens at {server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
