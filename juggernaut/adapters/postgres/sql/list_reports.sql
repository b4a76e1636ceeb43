SELECT id, title, created_at, task_id, facts FROM reports ORDER BY id DESC LIMIT $1;
