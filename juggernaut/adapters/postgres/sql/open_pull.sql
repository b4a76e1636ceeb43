SELECT * FROM juggernaut.pull_open_v2($1, $2, $3, $4, $5, $6, $7)
