SELECT cancel_goal($1::uuid, $2::text);
