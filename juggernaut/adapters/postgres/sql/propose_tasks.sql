SELECT id FROM juggernaut.propose_tasks_v1($1, $2, $3, $4) AS id
