SELECT task_id, title, task_type, risk_level, gate, reason, risk_factors, plan, digest,
       proposed_by, cost_usd, waiting_since, have, need, approve_sql, reject_sql
FROM pending_approvals
ORDER BY waiting_since
LIMIT $1;
