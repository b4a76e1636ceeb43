SELECT juggernaut.close_session_v1($1, $2) AS landed
