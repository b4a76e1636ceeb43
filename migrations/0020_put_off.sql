-- A forge that asks to wait: the task goes back uncounted, and not before that time.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.put_off_v1(p_task uuid, p_fence bigint, p_secret uuid, p_reason text, p_seconds numeric) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) = 'released', false);
  END IF;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'released', 'put_off', p_reason);
  UPDATE public.governance_tasks g SET status = 'pending', attempts = g.attempts - 1, assigned_worker = g.assignment,
         run_after = clock_timestamp() + make_interval(secs => least(greatest(p_seconds, 1), 3600)::float8),
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION juggernaut.put_off_v1(uuid, bigint, uuid, text, numeric) TO juggernaut_worker;
