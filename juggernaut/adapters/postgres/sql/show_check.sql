SELECT details FROM juggernaut.checks WHERE repo = $1 AND sha = $2 AND name = $3
