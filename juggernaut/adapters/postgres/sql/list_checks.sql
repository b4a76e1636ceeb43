SELECT name, passed, details FROM juggernaut.checks WHERE repo = $1 AND sha = $2 ORDER BY name LIMIT 100
