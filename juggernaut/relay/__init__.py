"""How a command without a network reaches this process: sockets, and a relay inside the walls."""
