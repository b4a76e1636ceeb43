SELECT * FROM juggernaut.pull_requests
WHERE repo = $1 AND head_branch = $2
ORDER BY number DESC LIMIT 1
