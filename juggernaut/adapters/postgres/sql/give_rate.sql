SELECT juggernaut.give_rate_v1($1, $2, $3)
