"""A stateful GitHub on 127.0.0.1: REST over real repositories, git over smart HTTP, faults."""
