SELECT session, secret, granted FROM juggernaut.open_session_v1($1, $2, $3)
