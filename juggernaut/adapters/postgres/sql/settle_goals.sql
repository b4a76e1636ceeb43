SELECT juggernaut.settle_goals_v1() AS counts
