SELECT juggernaut.pull_intend_v1($1, $2, $3, $4) AS intended
