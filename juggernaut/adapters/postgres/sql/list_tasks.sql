-- $1 status, $2 task type, $3 goal (each may be NULL), $4 limit; the newest come first.
SELECT id, title, task_type, priority, status, risk_level, worker, attempts, max_attempts,
       goal_id, goal, created_at, started_at, completed_at, reason
FROM task_board
WHERE ($1::text IS NULL OR status = $1)
  AND ($2::text IS NULL OR task_type = $2)
  AND ($3::uuid IS NULL OR goal_id = $3)
ORDER BY created_at DESC, id
LIMIT $4;
