-- $1 days, $2 limit: the repositories of open tasks, and of those that ended lately; the newest first.
SELECT repo
FROM governance_tasks
WHERE repo IS NOT NULL
  AND (status NOT IN ('completed', 'failed', 'rejected', 'cancelled')
       OR coalesce(completed_at, created_at) > now() - make_interval(days => $1))
GROUP BY repo
ORDER BY max(created_at) DESC, repo
LIMIT $2;
