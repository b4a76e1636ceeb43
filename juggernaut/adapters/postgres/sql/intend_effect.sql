SELECT id, kind, key, state, result FROM juggernaut.effect_intend_v1($1, $2, $3, $4, $5, $6)
