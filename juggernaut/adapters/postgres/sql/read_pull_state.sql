SELECT w.number, w.head, coalesce((SELECT array_agg(n.key) FROM juggernaut.pull_news n WHERE n.task_id = w.task_id AND n.done_at IS NOT NULL), '{}') AS handled,
       EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = w.task_id AND e.edited_at >=
                 ALL (SELECT coalesce(a.started_at, p.intended_at) FROM juggernaut.effects p LEFT JOIN juggernaut.attempts a ON a.task_id = p.task_id AND a.fence = p.fence
                       WHERE p.task_id = w.task_id AND p.kind = 'push' AND p.state = 'confirmed' AND split_part(p.key, '@', 2) = w.head)) AS edited
  FROM juggernaut.pull_watches w WHERE w.task_id = $1
