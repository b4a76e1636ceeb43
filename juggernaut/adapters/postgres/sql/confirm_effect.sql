SELECT juggernaut.effect_confirm_v1($1, $2, $3, $4, $5) AS landed
