-- $1 goal: what was decided about its tasks, and by whom.
SELECT a.task_id, t.title, a.gate, a.digest, a.risk_level, a.status, a.reason, t.approved_by,
       t.approval_reason, a.requested_at, a.decided_at
FROM approvals AS a
JOIN governance_tasks AS t ON t.id = a.task_id
WHERE t.goal_id = $1
ORDER BY a.id;
