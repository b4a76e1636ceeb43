SELECT go, reason FROM juggernaut.pass_gate_v1($1, $2, $3, $4, $5, $6, $7, $8)
