-- The board of workers says how strong each one's sandbox is, as the worker itself tried it.
SET LOCAL ROLE juggernaut_owner;

CREATE OR REPLACE VIEW public.worker_board AS
  SELECT w.worker_id, w.worker_type, w.status, coalesce(s.closed_at IS NULL AND s.expires_at > clock_timestamp(), false) AS alive,
         w.current_task_id, juggernaut.shown(t.title) AS current_task, coalesce(s.beat_at, w.last_heartbeat) AS last_heartbeat,
         round(extract(epoch FROM clock_timestamp() - coalesce(s.beat_at, w.last_heartbeat)))::integer AS seconds_since,
         w.version, w.host, w.pid, juggernaut.shown(w.metadata ->> 'sandbox') AS sandbox
    FROM public.worker_registry w
    LEFT JOIN juggernaut.sessions s ON s.id = w.instance_id
    LEFT JOIN public.governance_tasks t ON t.id = w.current_task_id
   ORDER BY w.worker_type, w.worker_id;
