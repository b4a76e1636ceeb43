SELECT law, task_id, details FROM law_violations ORDER BY law, task_id LIMIT $1;
