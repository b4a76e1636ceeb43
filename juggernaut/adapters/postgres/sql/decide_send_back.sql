SELECT send_back($1::uuid, $2::text) AS answer
