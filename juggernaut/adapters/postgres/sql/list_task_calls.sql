-- $1 task: its model calls by purpose and model; one under way counts with its reservation.
SELECT purpose, model, count(*) AS calls,
       sum(coalesce(cost_usd, reserved_usd)) AS usd,
       sum(coalesce(tokens, reserved_tokens))::bigint AS tokens,
       count(*) FILTER (WHERE state = 'reserved') AS under_way
FROM juggernaut.model_calls
WHERE task_id = $1
GROUP BY purpose, model
ORDER BY usd DESC, purpose, model;
