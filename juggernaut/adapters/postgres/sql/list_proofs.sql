SELECT p.task_id, p.title, p.task_type, p.kind, p.facts, p.verdicts, p.merged_sha, p.pull_url,
       p.completed_at
FROM proof AS p
JOIN governance_tasks AS t ON t.id = p.task_id
WHERE t.goal_id = $1
ORDER BY p.completed_at, p.task_id;
