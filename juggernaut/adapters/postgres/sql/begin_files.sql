SELECT go, reason FROM juggernaut.begin_files_v1($1, $2, $3, $4, $5)
