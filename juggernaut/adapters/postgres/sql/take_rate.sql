SELECT juggernaut.take_rate_v1($1, $2, $3, $4) AS seconds
