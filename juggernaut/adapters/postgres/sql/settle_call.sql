SELECT juggernaut.settle_v1($1, $2, $3) AS landed
