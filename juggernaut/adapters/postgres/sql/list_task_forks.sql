SELECT f.task_id, f.facts ->> 'from_step' AS from_step, f.facts ->> 'model' AS model,
       f.facts ->> 'cassette' AS cassette, t.status, f.made_by, f.made_at
FROM juggernaut.forks AS f
LEFT JOIN governance_tasks AS t ON t.id = f.task_id
WHERE f.origin_id = $1
ORDER BY f.made_at;
