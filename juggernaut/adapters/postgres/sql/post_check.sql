SELECT juggernaut.check_post_v1($1, $2, $3, $4, $5)
