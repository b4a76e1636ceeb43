SELECT * FROM juggernaut.pull_confirm_v1($1, $2, $3)
