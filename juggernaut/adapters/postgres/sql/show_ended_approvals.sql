-- $1 task: whose yes to what is asked now does not count any more.
SELECT juggernaut.no_longer_counted(a) AS ended
FROM approvals AS a
WHERE a.task_id = $1 AND a.status = 'pending';
