SELECT fork_task($1::uuid, $2::integer, $3::text, $4::text, $5::text) AS id;
