"""What a task is and what it owes: pure values and rules, no await, no I/O, no clock."""
