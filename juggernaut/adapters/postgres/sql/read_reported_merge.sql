SELECT worker, login, said FROM juggernaut.reported_merge_v1($1, $2, $3)
