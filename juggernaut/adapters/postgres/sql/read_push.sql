SELECT state FROM juggernaut.effects WHERE task_id = $1 AND kind IN ('push', 'handoff') AND key = $2 AND request ? 'head' ORDER BY state LIMIT 1
