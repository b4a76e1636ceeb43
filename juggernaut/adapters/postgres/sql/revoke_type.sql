SELECT revoke_capability($1::text, $2::text);
