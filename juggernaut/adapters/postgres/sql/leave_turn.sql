SELECT juggernaut.leave_turn_v1($1, $2, $3)
