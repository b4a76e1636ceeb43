SELECT juggernaut.count_round_v1($1, $2, $3, $4, $5) AS round
