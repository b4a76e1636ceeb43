SELECT id FROM juggernaut.save_recommendations_v1($1, $2, $3, $4) AS id
