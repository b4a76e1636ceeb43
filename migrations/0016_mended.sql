-- What the tests of the invariants found after the files before this one were written.
SET LOCAL ROLE juggernaut_owner;

-- A log line is a write of an attempt like any other: it needs the lease (L2).
CREATE OR REPLACE FUNCTION juggernaut.log_v1(p_task uuid, p_fence bigint, p_secret uuid, p_action text, p_level text, p_message text,
                                             p_metadata jsonb, p_error jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO public.execution_logs (task_id, worker_id, action, level, message, metadata, error_data, fence)
    VALUES (t.id, t.assigned_worker, p_action, p_level, left(p_message, 16000), coalesce(p_metadata, '{}'), p_error, t.fence);
  RETURN true;
END
$$;

-- Red facts prove nothing: a suite with failures, or none that passed, or a command that failed (E2).
CREATE OR REPLACE FUNCTION juggernaut.missing_facts(p_type text, p_facts jsonb) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT coalesce(array_agg(f ORDER BY f), '{}')
    FROM juggernaut.task_types y CROSS JOIN LATERAL unnest(y.required_facts) f
   WHERE y.task_type = p_type
     AND CASE f
           WHEN 'merged_sha' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{40}$'
           WHEN 'head_sha' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{40}$'
           WHEN 'base_sha' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{40}$'
           WHEN 'sha' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{40}$'
           WHEN 'passed' THEN coalesce(p_facts ->> f, '') !~ '^[1-9][0-9]*$'
           WHEN 'failed' THEN coalesce(p_facts ->> f, '') <> '0'
           WHEN 'exit_code' THEN coalesce(p_facts ->> f, '') <> '0'
           WHEN 'pull_number' THEN coalesce(p_facts ->> f, '') !~ '^[1-9][0-9]*$'
           WHEN 'output_digest' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{64}$'
           WHEN 'metrics_digest' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{64}$'
           WHEN 'report_id' THEN NOT EXISTS (SELECT FROM public.reports r WHERE r.id::text = p_facts ->> f)
           ELSE coalesce(p_facts -> f, 'null') IN ('null', '""', '{}')
                OR (p_facts -> f = '[]' AND f <> 'recommendation_ids')
         END
$$;

-- The record cannot be emptied either (E4).
DO $$
DECLARE
  t text;
BEGIN
  FOR t IN SELECT DISTINCT g.tgrelid::regclass::text FROM pg_catalog.pg_trigger g
            WHERE g.tgname = 'append_only' AND NOT g.tgisinternal AND g.tgparentid = 0 LOOP
    EXECUTE format('CREATE TRIGGER append_only_all BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.append_only()', t);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_all', t);
  END LOOP;
END
$$;
