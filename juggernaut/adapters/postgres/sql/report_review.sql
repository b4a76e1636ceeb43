SELECT juggernaut.forge_review_v1($1, $2, $3, $4, $5) AS answer
