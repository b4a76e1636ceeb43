-- $1 task: what the forge said about its pull request: checks, reviews, comments, conflicts.
SELECT kind, said, at, done_at
FROM juggernaut.pull_news
WHERE task_id = $1
ORDER BY id;
