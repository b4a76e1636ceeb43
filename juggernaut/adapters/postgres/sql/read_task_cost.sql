-- $1 task: what its model calls cost so far; a call that is under way counts with its reservation.
SELECT coalesce(sum(coalesce(cost_usd, reserved_usd)), 0) AS usd,
       coalesce(sum(coalesce(tokens, reserved_tokens)), 0)::bigint AS tokens,
       count(*) AS calls
FROM juggernaut.model_calls
WHERE task_id = $1;
