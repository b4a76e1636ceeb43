SELECT juggernaut.note_files_v1($1, $2, $3, $4, $5)
