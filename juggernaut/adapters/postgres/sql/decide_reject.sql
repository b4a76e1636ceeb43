SELECT reject_task($1::uuid, $2::text);
