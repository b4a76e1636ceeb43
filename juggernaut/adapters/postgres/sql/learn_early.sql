SELECT juggernaut.learn_v1($1, $2, $3, $4)
