-- $1 task: what it changed in the outside world, and what it meant to.
SELECT fence, kind, key, state, intended_at, confirmed_at, request, result
FROM juggernaut.effects
WHERE task_id = $1
ORDER BY id;
