SELECT task, landed FROM juggernaut.complete_batch_v1($1)
