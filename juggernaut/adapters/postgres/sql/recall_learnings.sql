SELECT category, title, description, impact, tags FROM juggernaut.recall_v1($1, $2, $3)
