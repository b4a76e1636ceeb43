"""What keeps roles alive: process, supervisor, worker, loop, heartbeat, pause, in this order."""
