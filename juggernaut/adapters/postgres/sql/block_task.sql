SELECT juggernaut.block_v1($1, $2, $3, $4, $5) AS landed
