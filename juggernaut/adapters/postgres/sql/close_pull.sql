SELECT * FROM juggernaut.pull_close_v1($1, $2, $3)
