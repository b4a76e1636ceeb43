SELECT worker_id, worker_type, status, alive, current_task_id, current_task, last_heartbeat,
       seconds_since, version, host, pid, sandbox
FROM worker_board
ORDER BY alive DESC, worker_type, worker_id
LIMIT $1;
