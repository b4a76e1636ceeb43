SELECT task_id, title, task_type, kind, facts, verdicts, merged_sha, pull_url, completed_at
FROM proof
WHERE task_id = $1;
