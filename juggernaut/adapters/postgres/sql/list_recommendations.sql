-- $1 goal or NULL, $2 limit.
SELECT r.id, r.kind, r.title, r.rationale, r.facts, r.status, r.task_id, r.created_at
FROM recommendations AS r
JOIN governance_tasks AS t ON t.id = r.task_id
WHERE $1::uuid IS NULL OR t.goal_id = $1
ORDER BY r.id DESC
LIMIT $2;
