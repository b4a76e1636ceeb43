-- $1 task or NULL, $2 levels or NULL, $3 the last id that was seen, $4 limit.
SELECT id, created_at, level, worker_id, task_id, action, message, metadata, error_data
FROM execution_logs
WHERE ($1::uuid IS NULL OR task_id = $1)
  AND ($2::text[] IS NULL OR level = ANY ($2))
  AND id > $3
ORDER BY id
LIMIT $4;
