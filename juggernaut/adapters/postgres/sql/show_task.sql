SELECT id, title, description, task_type, priority, status, risk_level, acceptance_criteria,
       assigned_worker, requires_approval, approval_reason, approved_by, approved_at, created_by,
       created_at, started_at, completed_at, completion_evidence, error_message, blocked_reason,
       attempts, max_attempts, run_after, deadline, timeout_seconds, budget_usd, payload, result,
       goal_id, parent_task_id, repo, tainted
FROM governance_tasks
WHERE id = $1;
