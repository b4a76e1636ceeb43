-- $1 title, $2 repository: the goal of an earlier run that is still open.
SELECT id FROM goals
WHERE status = 'active' AND title = $1 AND repo = $2
ORDER BY created_at DESC, id
LIMIT 1;
