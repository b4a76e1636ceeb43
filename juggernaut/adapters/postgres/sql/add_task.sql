-- The INSERT that people write too; the guard trigger checks and completes the row.
INSERT INTO governance_tasks (title, description, task_type, priority, risk_level,
                              acceptance_criteria, repo, goal_id, payload, depends_on)
VALUES ($1, $2, $3, $4, $5, nullif($6::jsonb, '[]'::jsonb)::text, $7, $8, $9::jsonb, $10::uuid[])
RETURNING id;
