SELECT * FROM juggernaut.pull_open_v1($1, $2, $3, $4, $5, $6)
