SELECT p.goal_id, p.title, p.status, p.tasks, p.completed, p.failed, p.open, p.percent, p.cost_usd,
       p.outcome, g.description, g.repo, g.created_at
FROM goal_progress AS p
JOIN goals AS g ON g.id = p.goal_id
WHERE p.goal_id = $1;
