SELECT p.task_id, t.title, t.payload, p.body, p.risk_level, p.factors, d.body AS diff, d.risk_level AS diff_risk
  FROM (SELECT DISTINCT ON (x.task_id) x.* FROM juggernaut.plans x WHERE x.gate = 'plan' ORDER BY x.task_id, x.fence) p
  JOIN governance_tasks t ON t.id = p.task_id
  LEFT JOIN LATERAL (SELECT y.body, y.risk_level FROM juggernaut.plans y
                      WHERE y.task_id = p.task_id AND y.gate = 'diff' ORDER BY y.fence DESC LIMIT 1) d ON true
 ORDER BY p.recorded_at DESC, p.task_id LIMIT $1::bigint;
