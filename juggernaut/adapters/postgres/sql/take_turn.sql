SELECT holder, title FROM juggernaut.take_turn_v1($1, $2, $3, $4)
