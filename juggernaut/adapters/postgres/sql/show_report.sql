-- $1 the report's number; NULL is the newest.
SELECT id, title, body, facts, created_at, task_id
FROM reports
WHERE $1::bigint IS NULL OR id = $1
ORDER BY id DESC
LIMIT 1;
