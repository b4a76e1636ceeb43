-- $1 task or NULL, $2 levels or NULL, $3 limit: the newest lines, in the order of writing.
SELECT id, created_at, level, worker_id, task_id, action, message, metadata, error_data
FROM (
  SELECT id, created_at, level, worker_id, task_id, action, message, metadata, error_data
  FROM execution_logs
  WHERE ($1::uuid IS NULL OR task_id = $1)
    AND ($2::text[] IS NULL OR level = ANY ($2))
  ORDER BY id DESC
  LIMIT $3
) AS newest
ORDER BY id;
