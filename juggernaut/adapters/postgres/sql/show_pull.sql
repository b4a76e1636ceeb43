SELECT * FROM juggernaut.pull_requests WHERE repo = $1 AND number = $2
