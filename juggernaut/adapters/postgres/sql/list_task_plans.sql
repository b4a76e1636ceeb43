-- $1 task: what its attempts intended, as the gates saw it.
SELECT fence, gate, digest, risk_level, factors, recorded_at, body
FROM juggernaut.plans
WHERE task_id = $1
ORDER BY recorded_at;
