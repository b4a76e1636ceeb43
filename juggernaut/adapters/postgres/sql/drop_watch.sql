SELECT juggernaut.drop_watch_v1($1)
