SELECT message, metadata FROM public.execution_logs WHERE task_id = $1 AND action = 'handoff' ORDER BY created_at DESC, id DESC LIMIT 1
