SELECT session, secret FROM juggernaut.open_session_v1($1, $2, $3)
