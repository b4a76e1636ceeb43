SELECT apply_policy($1::text, $2::text, $3::jsonb, $4::boolean) AS number;
