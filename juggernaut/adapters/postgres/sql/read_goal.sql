SELECT id, title, description, status, repo, replans, budget_usd FROM juggernaut.goal_v1($1, $2, $3)
