SELECT juggernaut.confirm_merge_v1($1, $2, $3, $4) AS status
