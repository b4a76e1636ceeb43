SELECT grant_capability($1::text, $2::text);
