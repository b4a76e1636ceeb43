SELECT pause_swarm($1::text, $2::text);
