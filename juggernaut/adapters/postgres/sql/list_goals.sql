-- $1 status or NULL, $2 limit.
SELECT p.goal_id, p.title, p.status, p.tasks, p.completed, p.failed, p.open, p.percent, p.cost_usd,
       p.outcome
FROM goal_progress AS p
JOIN goals AS g ON g.id = p.goal_id
WHERE $1::text IS NULL OR p.status = $1
ORDER BY g.created_at DESC
LIMIT $2;
