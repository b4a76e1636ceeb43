SELECT juggernaut.still_held_v1($1, $2, $3) AS landed
