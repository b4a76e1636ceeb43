SELECT id FROM governance_tasks WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT 5;
