-- $1 goal: the reports that its tasks stored.
SELECT r.id, r.title, r.body, r.facts, r.task_id, r.created_at
FROM reports AS r
JOIN governance_tasks AS t ON t.id = r.task_id
WHERE t.goal_id = $1
ORDER BY r.id;
