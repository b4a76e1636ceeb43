SELECT task, fence, secret, seconds FROM juggernaut.claim_v1($1, $2, $3)
