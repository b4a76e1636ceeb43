-- $1 task: what it taught.
SELECT category, title, description, impact_score, created_at
FROM learnings
WHERE task_id = $1
ORDER BY id;
