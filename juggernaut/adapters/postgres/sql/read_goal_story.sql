SELECT juggernaut.goal_story_v1($1, $2, $3) AS story
