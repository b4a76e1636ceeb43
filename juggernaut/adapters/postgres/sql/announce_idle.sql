SELECT juggernaut.idle_v1($1, $2)
