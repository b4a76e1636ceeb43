SELECT juggernaut.pull_head_v1($1, $2, $3)
