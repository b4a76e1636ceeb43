-- $1 task: its attempts in order, each with what its model calls cost.
SELECT a.fence, a.worker_id, a.started_at, a.ended_at, a.ended_as, a.error_code, a.error_message,
       c.usd, c.tokens, c.calls
FROM juggernaut.attempts AS a
CROSS JOIN LATERAL (
  SELECT coalesce(sum(coalesce(m.cost_usd, m.reserved_usd)), 0) AS usd,
         coalesce(sum(coalesce(m.tokens, m.reserved_tokens)), 0)::bigint AS tokens,
         count(*) AS calls
  FROM juggernaut.model_calls AS m
  WHERE m.task_id = a.task_id AND m.fence = a.fence
) AS c
WHERE a.task_id = $1
ORDER BY a.fence;
