-- $1 task, $2 seconds: what waits for so long is marked, as the sweep does it after approval_seconds.
UPDATE approvals
SET escalated_at = clock_timestamp()
WHERE task_id = $1::uuid AND status = 'pending' AND escalated_at IS NULL
      AND requested_at < clock_timestamp() - make_interval(secs => $2);
