-- What is written is what every client can read: numbers of bounded length, values that nest no deeper
-- than a parser goes, and dates of the years that programs know.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.refuse_json(p_name text, p_value jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.json_fault(p_value) IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('%s %s', p_name, juggernaut.json_fault(p_value)), 'write long numbers as text');
  END IF;
END
$$;

-- Guards the columns that its trigger names.
CREATE FUNCTION juggernaut.guard_json() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  whole jsonb := to_jsonb(NEW);
BEGIN
  FOR i IN 0 .. TG_NARGS - 1 LOOP
    PERFORM juggernaut.refuse_json(TG_ARGV[i], whole -> TG_ARGV[i]);
  END LOOP;
  RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.refuse_json(text, jsonb), juggernaut.guard_json() FROM PUBLIC;

-- As before, and: nothing that no client reads. (A plain task has an empty payload, and is not looked at.)
CREATE OR REPLACE FUNCTION juggernaut.content_fault(t public.governance_tasks) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE
  WHEN length(btrim(t.title)) NOT BETWEEN 1 AND 300 THEN format('title has %s characters, and may have 1 to 300', length(btrim(t.title)))
  WHEN length(t.description) > 100000 THEN format('description has %s characters, and may have 100000', length(t.description))
  WHEN length(t.acceptance_criteria) > 60000 THEN format('acceptance_criteria has %s characters, and may have 60000', length(t.acceptance_criteria))
  WHEN length(t.dedupe_key) > 300 THEN 'dedupe_key has more than 300 characters'
  WHEN length(t.concurrency_key) > 300 THEN 'concurrency_key has more than 300 characters'
  WHEN t.max_attempts NOT BETWEEN 1 AND 20 THEN format('max_attempts is %s, and may be 1 to 20', t.max_attempts)
  WHEN t.timeout_seconds NOT BETWEEN 1 AND 86400 THEN format('timeout_seconds is %s, and may be 1 to 86400', t.timeout_seconds)
  WHEN t.budget_usd < 0 THEN format('budget_usd is %s, and may not be below 0', t.budget_usd)
  WHEN jsonb_typeof(t.payload) <> 'object' THEN 'payload is not a JSON object'
  WHEN pg_column_size(t.payload) > 1048576 THEN format('payload has %s bytes, and may have 1048576', pg_column_size(t.payload))
  WHEN t.on_failed_need NOT IN ('block', 'fail', 'run') THEN format('unknown on_failed_need %L: use block, fail or run', t.on_failed_need)
  WHEN t.attempts < 0 THEN 'attempts is below 0'
  WHEN t.waits < 0 THEN 'waits is below 0'
  WHEN length(t.error_message) > 16384 THEN format('error_message has %s characters, and may have 16384', length(t.error_message))
  WHEN length(t.completion_evidence) > 65536 THEN format('completion_evidence has %s characters, and may have 65536', length(t.completion_evidence))
  WHEN length(t.assigned_worker) > 255 THEN format('assigned_worker has %s characters, and may have 255', length(t.assigned_worker))
  WHEN NOT isfinite(t.run_after) THEN format('run_after is %s: name a date, however far', t.run_after)
  WHEN NOT isfinite(t.deadline) THEN format('deadline is %s: name a date, or none', t.deadline)
  WHEN t.run_after NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00' THEN format('run_after is %s: use the years 1 to 9999', t.run_after)
  WHEN t.deadline NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00' THEN format('deadline is %s: use the years 1 to 9999', t.deadline)
  WHEN t.started_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00' THEN format('started_at is %s: use the years 1 to 9999', t.started_at)
  WHEN t.completed_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00' THEN format('completed_at is %s: use the years 1 to 9999', t.completed_at)
  WHEN t.payload <> '{}' AND juggernaut.json_fault(t.payload) IS NOT NULL THEN format('payload %s', juggernaut.json_fault(t.payload))
  WHEN t.result IS NOT NULL AND juggernaut.json_fault(t.result) IS NOT NULL THEN format('result %s', juggernaut.json_fault(t.result))
END;

-- As before, and: JSON that can be read.
CREATE OR REPLACE FUNCTION juggernaut.guard_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  NEW.level := CASE NEW.level WHEN 'warn' THEN 'warning' ELSE NEW.level END;
  NEW.login := juggernaut.acting();
  NEW.created_at := clock_timestamp();
  IF juggernaut.acting_kind() = 'worker' THEN
    IF NOT EXISTS (SELECT FROM public.worker_registry w WHERE w.worker_id = NEW.worker_id AND w.login = NEW.login) THEN
      PERFORM juggernaut.refuse('JG001', format('%L is not a worker of %s', left(NEW.worker_id, 200), NEW.login));
    END IF;
    IF NEW.task_id IS NOT NULL AND NOT EXISTS (SELECT FROM juggernaut.attempts a WHERE a.task_id = NEW.task_id AND a.login = NEW.login) THEN
      PERFORM juggernaut.refuse('JG001', format('%s has not worked on task %s', NEW.login, NEW.task_id));
    END IF;
  END IF;
  IF NEW.metadata <> '{}' OR NEW.error_data IS NOT NULL THEN
    PERFORM juggernaut.refuse_json('metadata', NEW.metadata);
    PERFORM juggernaut.refuse_json('error_data', NEW.error_data);
  END IF;
  RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.guard_learning() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  NEW.created_at := clock_timestamp();
  IF juggernaut.acting_kind() = 'worker' THEN
    IF NOT EXISTS (SELECT FROM juggernaut.attempts a WHERE a.task_id = NEW.task_id AND a.login = juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('%s has not worked on task %s', juggernaut.acting(), NEW.task_id));
    END IF;
    IF NOT EXISTS (SELECT FROM public.worker_registry w WHERE w.worker_id = NEW.worker_id AND w.login = juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('%L is not a worker of %s', left(NEW.worker_id, 200), juggernaut.acting()));
    END IF;
    NEW.scope := (SELECT repo FROM public.governance_tasks WHERE id = NEW.task_id);
    NEW.applied_count := 0;
  END IF;
  IF NEW.tags <> '[]' OR NEW.effect IS NOT NULL THEN
    PERFORM juggernaut.refuse_json('tags', NEW.tags);
    PERFORM juggernaut.refuse_json('effect', NEW.effect);
  END IF;
  RETURN NEW;
END
$$;

-- Every other column of JSON that somebody fills (a body of a plan or request has body_fault); a short one of the hot moves does not fire it.
DO $$
DECLARE
  r record;
  short text;
BEGIN
  FOR r IN
    SELECT * FROM (VALUES
      ('juggernaut.evidence', '{facts}'::text[], true),
      ('juggernaut.verdicts', '{facts}', true),
      ('juggernaut.effects', '{request,result}', false),
      ('juggernaut.model_calls', '{facts}', true),
      ('public.reports', '{facts}', false),
      ('public.recommendations', '{facts}', false),
      ('public.schedules', '{payload}', false),
      ('public.goals', '{outcome}', false),
      ('juggernaut.policy_versions', '{body}', false),
      ('public.worker_registry', '{capabilities,metadata}', false)) AS v (place, columns, hot)
  LOOP
    short := CASE WHEN r.hot THEN format('WHEN (pg_column_size(NEW.%1$I) > 400 OR length(NEW.%1$I::text) > 400)', r.columns[1]) ELSE '' END;
    EXECUTE format('CREATE TRIGGER guard_json BEFORE INSERT OR UPDATE OF %s ON %s FOR EACH ROW %s EXECUTE FUNCTION juggernaut.guard_json(%s)',
                   array_to_string(r.columns, ', '), r.place, short, (SELECT string_agg(quote_literal(c), ', ') FROM unnest(r.columns) c));
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER guard_json', r.place);
  END LOOP;
END
$$;
CREATE TRIGGER guard_json BEFORE UPDATE OF result ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.result IS NOT NULL AND (pg_column_size(NEW.result) > 400 OR length(NEW.result::text) > 400))
  EXECUTE FUNCTION juggernaut.guard_json('result');
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_json;

-- As before, and never behind the last date that clients know.
CREATE OR REPLACE FUNCTION juggernaut.late_at(t public.governance_tasks, p_since timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT coalesce(t.deadline, least(greatest(t.created_at, t.run_after, t.started_at, p_since,
                                             -- since when somebody could take it: a key is that time and the weight of the priority
                                             CASE WHEN t.ready THEN (SELECT to_timestamp(t.claim_key / 1000.0 - q.weight_seconds) FROM juggernaut.priorities q
                                                                      WHERE q.priority = t.priority) END), '9900-01-01 00:00+00')
                              + least(juggernaut.seconds('open_seconds'), interval '99 years'))
$$;

-- As before, and: no next time that no line of cron gives.
CREATE OR REPLACE FUNCTION juggernaut.fire_schedule_v1(p_name text, p_scheduled timestamptz, p_next timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  s public.schedules;
  v_id uuid;
  v_said text;
BEGIN
  SELECT * INTO s FROM public.schedules x WHERE x.name = p_name AND x.enabled FOR UPDATE;
  IF s.name IS NULL OR (s.next_run_at IS NOT NULL AND s.next_run_at <> p_scheduled) THEN
    RETURN false;
  END IF;
  -- A rare line of cron (a 29 February that is a Sunday) has its next time decades ahead, and no line beyond 51 years.
  IF p_next NOT BETWEEN clock_timestamp() - interval '1 day' AND clock_timestamp() + interval '51 years' THEN
    PERFORM juggernaut.refuse('JG001', format('schedule %s cannot run next at %s', p_name, p_next), 'give its next time from now on');
  END IF;
  IF p_next IS NULL THEN
    UPDATE public.schedules SET enabled = false, disabled_reason = format('cron %L or time zone %L is not valid', cron, time_zone) WHERE name = p_name;
    PERFORM juggernaut.raise_alert('schedule_disabled', p_name, 'error', format('schedule %s is disabled: cron %L or time zone %L is not valid', p_name, s.cron, s.time_zone), '{}');
    RETURN false;
  END IF;
  UPDATE public.schedules SET next_run_at = p_next, last_run_at = CASE WHEN s.next_run_at IS NULL THEN last_run_at ELSE p_scheduled END WHERE name = p_name;
  IF s.next_run_at IS NULL THEN
    RETURN false;
  END IF;
  BEGIN
    INSERT INTO public.governance_tasks (title, description, task_type, priority, payload, repo, dedupe_key)
      VALUES (s.title, s.description, s.task_type, s.priority, s.payload, s.repo, format('schedule:%s:%s', s.name, p_scheduled)) RETURNING id INTO v_id;
  EXCEPTION WHEN SQLSTATE 'JG001' OR unique_violation THEN
    -- One task that may not be is no reason to leave out all that come after it.
    GET STACKED DIAGNOSTICS v_said = MESSAGE_TEXT;
    PERFORM juggernaut.record_event('schedule.skipped', p_name, NULL, jsonb_build_object('scheduled', p_scheduled, 'reason', v_said));
    PERFORM juggernaut.raise_alert('schedule_skipped', p_name, 'error', format('schedule %s made no task at %s: %s', p_name, p_scheduled, v_said), jsonb_build_object('scheduled', p_scheduled));
    RETURN false;
  END;
  INSERT INTO juggernaut.editors (task_id, login)
    SELECT DISTINCT v_id, w FROM unnest(array_append(s.authors, s.created_by)) w ON CONFLICT DO NOTHING;
  RETURN true;
END
$$;

-- What is there already is put right where it is read or written again: tasks and schedules. Logs,
-- evidence and reports never change; the program reads them with a mark for what is too long.
CREATE FUNCTION juggernaut.known_time(p_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT
RETURN least(greatest(p_at, '0001-01-01 00:00+00'), '9999-12-31 00:00+00');

CREATE FUNCTION juggernaut.json_mended(p_value jsonb, p_level integer DEFAULT 0) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF p_value IS NULL OR p_level = 0 AND juggernaut.json_fault(p_value) IS NULL THEN
    RETURN p_value;
  ELSIF jsonb_typeof(p_value) = 'number' AND length(p_value::text) > 400 THEN
    RETURN '"(too long)"';
  ELSIF p_level = 64 AND jsonb_typeof(p_value) IN ('array', 'object') THEN
    RETURN '"(too deep)"';
  ELSIF jsonb_typeof(p_value) = 'array' THEN
    RETURN (SELECT coalesce(jsonb_agg(juggernaut.json_mended(e.value, p_level + 1) ORDER BY e.ordinality), '[]')
              FROM jsonb_array_elements(p_value) WITH ORDINALITY AS e);
  ELSIF jsonb_typeof(p_value) = 'object' THEN
    RETURN (SELECT coalesce(jsonb_object_agg(e.key, juggernaut.json_mended(e.value, p_level + 1)), '{}') FROM jsonb_each(p_value) AS e);
  END IF;
  RETURN p_value;
END
$$;

UPDATE public.schedules SET next_run_at = CASE WHEN next_run_at BETWEEN '0001-01-01 00:00+00' AND clock_timestamp() + interval '51 years' THEN next_run_at END,
       last_run_at = juggernaut.known_time(last_run_at), payload = juggernaut.json_mended(payload)
 WHERE next_run_at NOT BETWEEN '0001-01-01 00:00+00' AND clock_timestamp() + interval '51 years'
    OR last_run_at <> juggernaut.known_time(last_run_at) OR juggernaut.json_fault(payload) IS NOT NULL;
ALTER TABLE public.schedules ADD CONSTRAINT times_are_known CHECK (
  next_run_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00'
  AND last_run_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00');

-- Tasks that are over are mended too, which their guards would refuse; none of this is an edit.
DO $$
DECLARE
  found uuid[] := ARRAY(
    SELECT t.id FROM public.governance_tasks t
     WHERE t.run_after <> juggernaut.known_time(t.run_after) OR t.deadline <> juggernaut.known_time(t.deadline) OR t.due_at <> juggernaut.known_time(t.due_at)
        OR t.started_at <> juggernaut.known_time(t.started_at) OR t.completed_at <> juggernaut.known_time(t.completed_at)
        OR (t.payload <> '{}' AND juggernaut.json_fault(t.payload) IS NOT NULL) OR juggernaut.json_fault(t.result) IS NOT NULL);
  guards text[] := ARRAY(
    SELECT g.tgname FROM pg_catalog.pg_trigger g WHERE g.tgrelid = 'public.governance_tasks'::regclass AND NOT g.tgisinternal AND g.tgenabled = 'A');
  guard text;
BEGIN
  IF cardinality(found) = 0 THEN
    RETURN;
  END IF;
  FOREACH guard IN ARRAY guards LOOP
    EXECUTE format('ALTER TABLE public.governance_tasks DISABLE TRIGGER %I', guard);
  END LOOP;
  UPDATE public.governance_tasks t SET run_after = juggernaut.known_time(t.run_after), deadline = juggernaut.known_time(t.deadline), due_at = juggernaut.known_time(t.due_at),
         started_at = juggernaut.known_time(t.started_at), completed_at = juggernaut.known_time(t.completed_at),
         payload = juggernaut.json_mended(t.payload), result = juggernaut.json_mended(t.result)
   WHERE t.id = ANY (found);
  FOREACH guard IN ARRAY guards LOOP
    EXECUTE format('ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER %I', guard);
  END LOOP;
  PERFORM juggernaut.record_event('governance_tasks.made_readable', 'migration', NULL, jsonb_build_object('tasks', found));
END
$$;
DROP FUNCTION juggernaut.json_mended(jsonb, integer), juggernaut.known_time(timestamptz);
