SELECT juggernaut.effect_lock_v1($1, $2, $3)
