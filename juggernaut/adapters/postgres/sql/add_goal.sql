SELECT add_goal($1::text, $2::text, $3::text, $4::numeric, $5::boolean) AS id;
