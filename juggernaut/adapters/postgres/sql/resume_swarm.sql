SELECT resume_swarm($1::text) AS resumed
