SELECT * FROM juggernaut.pull_ready_v1($1, $2)
