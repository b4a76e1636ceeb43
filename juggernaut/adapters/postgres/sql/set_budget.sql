SELECT set_budget($1::text, $2::numeric, $3::numeric);
