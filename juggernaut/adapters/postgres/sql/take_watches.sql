SELECT * FROM juggernaut.take_watches_v1($1)
