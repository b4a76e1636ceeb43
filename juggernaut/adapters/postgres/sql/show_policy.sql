SELECT p.number, p.version, p.digest, p.applied_by, p.applied_at,
       (SELECT jsonb_object_agg(r.risk_level, r.approvers) FROM juggernaut.risks r) AS approvers,
       (SELECT jsonb_object_agg(y.task_type, y.risk_floor) FROM juggernaut.task_types y) AS floors
  FROM (VALUES (1)) AS one (row)
  LEFT JOIN LATERAL (SELECT * FROM juggernaut.policy_versions v ORDER BY v.number DESC LIMIT 1) p ON true;
