-- $1 task: what is asked of people now, which is what the digest is of.
SELECT task_id, gate, digest, risk_level, reason, risk_factors, proposed_by, waiting_since,
       have, need, plan
FROM pending_approvals
WHERE task_id = $1;
