SELECT juggernaut.pull_say_v1($1, $2, $3, $4, $5) AS id
