SELECT juggernaut.beat_v1($1, $2, $3, $4) AS landed
