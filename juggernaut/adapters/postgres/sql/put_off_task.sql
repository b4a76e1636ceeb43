SELECT juggernaut.put_off_v2($1, $2, $3, $4, $5, $6) AS landed
