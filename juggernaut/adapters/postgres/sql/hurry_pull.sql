SELECT juggernaut.hurry_pull_v1($1, $2)
