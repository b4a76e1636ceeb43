-- $1 category or NULL, $2 goal or NULL, $3 limit.
SELECT l.id, l.category, l.title, l.description, l.impact_score, l.tags, l.applied_count, l.task_id,
       l.worker_id, l.created_at
FROM learnings AS l
LEFT JOIN governance_tasks AS t ON t.id = l.task_id
WHERE ($1::text IS NULL OR l.category = $1)
  AND ($2::uuid IS NULL OR t.goal_id = $2)
ORDER BY l.created_at DESC
LIMIT $3;
