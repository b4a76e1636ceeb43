SELECT w.number, w.head, coalesce((SELECT array_agg(n.key) FROM juggernaut.pull_news n WHERE n.task_id = w.task_id AND n.done_at IS NOT NULL), '{}') AS handled,
       EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = w.task_id) AS edited
  FROM juggernaut.pull_watches w WHERE w.task_id = $1
