-- Who looks with an old snapshot decides by what was, and who holds a row in an open transaction makes
-- others wait. The first may look, and not write; for the second the hot paths wait no longer than they must.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.fresh_snapshot() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.fresh_snapshot() FROM PUBLIC;
-- Every table has it, once per statement; the three of the hot moves are guarded by what writes them:
-- guard_insert, guard_update and claim_v1, and evidence comes with each completion.
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT c.oid::regclass AS place FROM pg_catalog.pg_class c
            WHERE c.relnamespace IN ('public'::regnamespace, 'juggernaut'::regnamespace) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
              AND pg_get_userbyid(c.relowner) = 'juggernaut_owner'
              AND c.oid NOT IN ('public.governance_tasks'::regclass, 'juggernaut.attempts'::regclass, 'juggernaut.events'::regclass)
  LOOP
    EXECUTE format('CREATE TRIGGER fresh_snapshot BEFORE INSERT OR DELETE OR UPDATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.fresh_snapshot()', r.place);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER fresh_snapshot', r.place);
  END LOOP;
END
$$;

-- The guards, as before otherwise.
CREATE OR REPLACE FUNCTION juggernaut.guard_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  types text;
  dead uuid;
  floor text;
  v_lane integer;
  v_weight integer;
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  -- A lane exists, so its type and priority do.
  SELECT l.lane, l.risk_floor, l.weight_seconds INTO v_lane, floor, v_weight FROM juggernaut.lanes l
   WHERE l.task_type = NEW.task_type AND l.assignment = coalesce(NEW.assigned_worker, '') AND l.priority = NEW.priority;
  IF v_lane IS NULL THEN
    SELECT y.risk_floor INTO floor FROM juggernaut.task_types y WHERE y.task_type = NEW.task_type;
    IF floor IS NULL THEN
      SELECT string_agg(task_type, ', ' ORDER BY task_type) INTO types FROM juggernaut.task_types;
      PERFORM juggernaut.refuse('JG001', format('unknown task_type %L', NEW.task_type), 'known types: ' || types);
    END IF;
    NEW.priority := juggernaut.normal_priority(NEW.priority);
    SELECT q.weight_seconds INTO v_weight FROM juggernaut.priorities q WHERE q.priority = NEW.priority;
  END IF;
  -- Every expression costs each single insert the same, so what is rarely so is asked for at once.
  IF NEW.status <> 'pending' OR length(btrim(NEW.title)) NOT BETWEEN 1 AND 300 OR NEW.description <> '' OR NEW.payload <> '{}'
     OR NEW.acceptance_criteria IS NOT NULL OR NEW.dedupe_key IS NOT NULL OR NEW.concurrency_key IS NOT NULL
     OR NEW.max_attempts <> 3 OR NEW.timeout_seconds <> 3600 OR NEW.budget_usd IS NOT NULL OR NEW.on_failed_need <> 'block'
     OR NEW.run_after IS NOT NULL OR NEW.deadline IS NOT NULL
     OR NEW.fence <> 0 OR NEW.attempts <> 0 OR NEW.evidence_id IS NOT NULL OR NEW.completed_at IS NOT NULL
     OR NEW.approved_by IS NOT NULL OR NEW.approved_at IS NOT NULL OR NEW.started_at IS NOT NULL OR NEW.session_id IS NOT NULL
     OR NEW.lease_login IS NOT NULL OR NEW.lease_hash IS NOT NULL OR NEW.lease_until IS NOT NULL
     OR NEW.error_message IS NOT NULL OR NEW.completion_evidence IS NOT NULL THEN
    IF NEW.status NOT IN ('pending', 'waiting') THEN
      PERFORM juggernaut.refuse('JG001', format('a task starts as pending, not as %L', NEW.status));
    END IF;
    IF juggernaut.content_fault(NEW) IS NOT NULL THEN
      PERFORM juggernaut.refuse('JG001', juggernaut.content_fault(NEW));
    END IF;
    IF NEW.dedupe_key IS NOT NULL AND EXISTS (
         SELECT FROM public.governance_tasks t WHERE t.dedupe_key = NEW.dedupe_key
            AND (t.completed_at IS NULL OR t.completed_at > clock_timestamp() - juggernaut.seconds('dedupe_seconds'))) THEN
      PERFORM juggernaut.refuse('JG001', format('a task with dedupe_key %L exists already', NEW.dedupe_key));
    END IF;
    NEW.status := 'pending';
    NEW.fence := 0; NEW.attempts := 0; NEW.evidence_id := NULL; NEW.completed_at := NULL;
    NEW.approved_by := NULL; NEW.approved_at := NULL; NEW.started_at := NULL;
    NEW.session_id := NULL; NEW.lease_login := NULL; NEW.lease_hash := NULL; NEW.lease_until := NULL;
  END IF;
  IF NEW.risk_level <> floor THEN
    IF NEW.risk_level NOT IN ('low', 'medium', 'high', 'critical') THEN
      PERFORM juggernaut.refuse('JG001', format('unknown risk_level %L', NEW.risk_level), 'use low, medium, high or critical');
    END IF;
    NEW.risk_level := juggernaut.higher_risk(NEW.risk_level, floor);
  END IF;
  NEW.created_by := juggernaut.acting();
  NEW.created_at := clock_timestamp();
  NEW.assignment := NEW.assigned_worker;
  NEW.waits := 0;
  IF cardinality(NEW.depends_on) > 0 THEN
    NEW.depends_on := ARRAY(SELECT DISTINCT d FROM unnest(NEW.depends_on) d);
    IF NEW.id = ANY (NEW.depends_on) THEN
      PERFORM juggernaut.refuse('JG001', 'a task cannot depend on itself');
    END IF;
    SELECT d INTO dead FROM unnest(NEW.depends_on) d
     WHERE NOT EXISTS (SELECT FROM public.governance_tasks t WHERE t.id = d AND t.status NOT IN ('failed', 'rejected', 'cancelled'));
    IF dead IS NOT NULL THEN
      PERFORM juggernaut.refuse('JG001', format('depends_on names %s, which does not exist or will never complete', dead));
    END IF;
    NEW.waits := (SELECT count(*) FROM public.governance_tasks t WHERE t.id = ANY (NEW.depends_on) AND t.status <> 'completed');
    IF NEW.waits > 0 THEN
      NEW.status := 'waiting'; NEW.ready := false; NEW.due_at := NULL;
      RETURN NEW;
    END IF;
  END IF;
  NEW.due_at := CASE WHEN NEW.run_after > NEW.created_at THEN NEW.run_after END;
  NEW.ready := NEW.due_at IS NULL;
  NEW.lane := coalesce(v_lane, juggernaut.lane_of(NEW.task_type, NEW.assignment, NEW.priority));
  NEW.claim_key := (extract(epoch FROM greatest(NEW.created_at, NEW.run_after)) * 1000)::bigint + v_weight * 1000;
  RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.guard_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  kind text;
  certified boolean := NEW.fence <> OLD.fence OR NEW.waits <> OLD.waits
                       OR (OLD.lease_login IS NOT NULL AND NEW.lease_login IS NULL);
  content boolean := (NEW.title, NEW.description, NEW.task_type, NEW.acceptance_criteria, NEW.payload, NEW.repo)
                     IS DISTINCT FROM (OLD.title, OLD.description, OLD.task_type, OLD.acceptance_criteria, OLD.payload, OLD.repo);
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  IF NEW.id <> OLD.id OR NEW.created_by <> OLD.created_by OR NEW.created_at <> OLD.created_at OR NEW.fence < OLD.fence
     OR NEW.depends_on <> OLD.depends_on THEN
    PERFORM juggernaut.refuse('JG001', 'id, created_by, created_at and depends_on never change, and a fence only grows');
  END IF;
  IF OLD.status IN ('completed', 'rejected', 'cancelled') AND NOT (NEW.status = OLD.status AND NOT content AND NEW.evidence_id IS NOT DISTINCT FROM OLD.evidence_id) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is %s, and that is final', OLD.id, OLD.status));
  END IF;
  IF juggernaut.content_fault(NEW) IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', juggernaut.content_fault(NEW));
  END IF;
  IF NEW.task_type <> OLD.task_type AND NOT EXISTS (SELECT FROM juggernaut.task_types y WHERE y.task_type = NEW.task_type) THEN
    PERFORM juggernaut.refuse('JG001', format('unknown task_type %L', NEW.task_type), 'SELECT task_type FROM juggernaut.task_types');
  END IF;
  IF NEW.priority <> OLD.priority THEN
    NEW.priority := juggernaut.normal_priority(NEW.priority);
  END IF;
  NEW.risk_level := juggernaut.higher_risk(NEW.risk_level, OLD.risk_level);
  kind := juggernaut.acting_kind();
  IF kind = 'worker' AND NOT certified AND NEW.status = OLD.status AND NEW IS DISTINCT FROM OLD
     AND (OLD.lease_login IS DISTINCT FROM juggernaut.acting() OR OLD.lease_hash IS NOT NULL)
     AND (NEW.assigned_worker, NEW.requires_approval, NEW.approval_reason, NEW.error_message, NEW.completion_evidence, NEW.completed_at, NEW.started_at, NEW.approved_by)
         IS DISTINCT FROM (OLD.assigned_worker, OLD.requires_approval, OLD.approval_reason, OLD.error_message, OLD.completion_evidence, OLD.completed_at, OLD.started_at, OLD.approved_by) THEN
    PERFORM juggernaut.refuse('JG003', format('%s does not hold task %s', juggernaut.acting(), OLD.id));
  END IF;
  IF NEW.status <> OLD.status THEN
    NEW := juggernaut.guard_move(OLD, NEW, kind, certified);
  END IF;
  IF content AND OLD.status NOT IN ('in_progress') THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp()
     WHERE task_id = OLD.id AND status IN ('pending', 'approved');
    IF OLD.status = 'waiting_approval' AND NEW.status = 'waiting_approval' THEN
      NEW.status := 'pending'; -- what was asked for is gone: plan again, ask again
    END IF;
    NEW.approved_by := NULL;
    NEW.approved_at := NULL;
  END IF;
  IF NEW.status = OLD.status AND OLD.status <> 'in_progress' AND NEW.assigned_worker IS DISTINCT FROM OLD.assigned_worker THEN
    NEW.assignment := NEW.assigned_worker;
  END IF;
  IF NEW.status = 'pending' OR OLD.ready THEN
    NEW := juggernaut.place(NEW, OLD.ready AND NEW.priority = OLD.priority);
  END IF;
  IF NEW.status = 'blocked' AND (NEW.blocked_reason IS NULL OR NEW.blocked_owner IS NULL OR NEW.blocked_at IS NULL) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s may be blocked only with a reason, an owner and a time', NEW.id));
  END IF;
  IF NEW.status = 'failed' AND coalesce(btrim(NEW.error_message), '') = '' THEN
    PERFORM juggernaut.refuse('JG001', format('task %s may fail only with a reason in error_message', NEW.id));
  END IF;
  RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.alone(p_duty text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  IF NOT EXISTS (SELECT FROM juggernaut.duties WHERE name = p_duty) THEN
    INSERT INTO juggernaut.duties VALUES (p_duty) ON CONFLICT DO NOTHING;
  END IF;
  PERFORM FROM juggernaut.duties WHERE name = p_duty FOR UPDATE SKIP LOCKED;
  RETURN FOUND;
END
$$;

-- A full queue of notices, which any listener can cause, refuses no task.
CREATE OR REPLACE FUNCTION juggernaut.follow_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  INSERT INTO juggernaut.events (login, application, kind, subject, before, after)
    VALUES (juggernaut.acting(), left(current_setting('application_name', true), 64), 'task.created', NEW.id::text, NULL,
            jsonb_build_object('title', NEW.title, 'task_type', NEW.task_type, 'status', NEW.status, 'risk_level', NEW.risk_level));
  IF NEW.acceptance_criteria IS NOT NULL OR cardinality(NEW.depends_on) > 0 OR NEW.budget_usd IS NOT NULL THEN
    PERFORM juggernaut.follow_content(NEW);
  END IF;
  IF NEW.ready AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.waiting AND s.closed_at IS NULL)
     AND pg_notification_queue_usage() < 0.5
     AND pg_try_advisory_xact_lock(7463, (extract(epoch FROM clock_timestamp()) * 50)::bigint::bit(31)::integer) THEN
    PERFORM pg_notify('juggernaut_work', NEW.task_type);
  END IF;
  RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION public.resume_swarm(scope text DEFAULT 'all') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.person_only('resume');
  DELETE FROM public.controls c WHERE c.scope = resume_swarm.scope;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM juggernaut.record_event('swarm.resumed', resume_swarm.scope, NULL, NULL);
  IF pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('juggernaut_work', '');
  END IF;
  RETURN true;
END
$$;

-- A row lock on a worker's row ends nobody's session and no sweep.
CREATE OR REPLACE FUNCTION juggernaut.beat_v1(p_session uuid, p_secret uuid, p_status text, p_task uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_worker text;
BEGIN
  UPDATE juggernaut.sessions SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + juggernaut.seconds('session_seconds')
   WHERE id = p_session AND secret_hash = juggernaut.hash(p_secret) AND login = juggernaut.acting()
     AND closed_at IS NULL AND expires_at > clock_timestamp()
   RETURNING worker_id INTO v_worker;
  IF v_worker IS NULL THEN
    RETURN false;
  END IF;
  -- The session is what lives; what the registry shows waits for nobody who holds its row.
  PERFORM FROM public.worker_registry w WHERE w.worker_id = v_worker AND w.instance_id = p_session FOR NO KEY UPDATE SKIP LOCKED;
  IF FOUND THEN
    UPDATE public.worker_registry SET status = p_status, current_task_id = p_task
     WHERE worker_id = v_worker AND instance_id = p_session;
  END IF;
  RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.sweep_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  c record;
  n_expired integer := 0; n_dead integer := 0; n_stale integer := 0; n_due integer := 0; n_written integer := 0; n_sealed integer := 0;
BEGIN
  -- First, and by everybody: who holds a duty in an open transaction is ended from outside of it.
  PERFORM juggernaut.end_old_transactions();
  IF NOT juggernaut.alone('sweep') THEN
    RETURN jsonb_build_object('skipped', true);
  END IF;
  FOR t IN
    SELECT g.* FROM public.governance_tasks g LEFT JOIN juggernaut.sessions s ON s.id = g.session_id
     WHERE g.lease_login IS NOT NULL AND (g.lease_until <= clock_timestamp() OR s.closed_at IS NOT NULL OR s.expires_at <= clock_timestamp())
     ORDER BY g.id LIMIT 500 FOR UPDATE OF g SKIP LOCKED
  LOOP
    PERFORM juggernaut.end_attempt(t.id, t.fence, 'expired', 'lease_expired', format('the lease of %s expired', t.assigned_worker));
    UPDATE public.governance_tasks g
       SET status = CASE WHEN g.attempts < g.max_attempts THEN 'pending' ELSE 'failed' END,
           error_message = CASE WHEN g.attempts < g.max_attempts THEN format('lease_expired: the lease of %s ended without an answer', t.assigned_worker)
                                ELSE format('lease_expired: %s attempts ended without an answer, the last one with %s', g.attempts, t.assigned_worker) END,
           assigned_worker = g.assignment,
           run_after = CASE WHEN g.attempts < g.max_attempts THEN clock_timestamp() + juggernaut.pause_after(g.attempts) END,
           session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
     WHERE g.id = t.id;
    IF t.attempts >= t.max_attempts THEN
      PERFORM juggernaut.raise_alert('task_failed', t.id::text, 'error', format('task "%s" was given up after %s attempts', t.title, t.attempts),
                                     jsonb_build_object('task_id', t.id, 'code', 'lease_expired'));
      n_dead := n_dead + 1;
    END IF;
    n_expired := n_expired + 1;
  END LOOP;
  UPDATE public.worker_registry w SET status = 'stale', current_task_id = NULL
    FROM juggernaut.sessions s
   WHERE s.id = w.instance_id AND w.worker_id = ANY (ARRAY(
           SELECT r.worker_id FROM public.worker_registry r JOIN juggernaut.sessions x ON x.id = r.instance_id
            WHERE r.status NOT IN ('stale', 'offline') AND x.closed_at IS NULL
              AND x.beat_at < clock_timestamp() - greatest(juggernaut.seconds('stale_seconds'), interval '1 second')
              FOR NO KEY UPDATE OF r SKIP LOCKED));
  GET DIAGNOSTICS n_stale = ROW_COUNT;
  -- A session that ran out and that no worker's row names any more is over.
  UPDATE juggernaut.sessions s SET closed_at = clock_timestamp(), waiting = false
   WHERE s.id = ANY (ARRAY(SELECT x.id FROM juggernaut.sessions x
                            WHERE x.closed_at IS NULL AND x.expires_at <= clock_timestamp()
                              AND NOT EXISTS (SELECT FROM public.worker_registry r WHERE r.instance_id = x.id)
                            ORDER BY x.expires_at LIMIT 500 FOR UPDATE OF x SKIP LOCKED));
  UPDATE public.governance_tasks g SET due_at = NULL
   WHERE g.id = ANY (ARRAY(SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= clock_timestamp()
                            ORDER BY d.due_at LIMIT 500 FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n_due = ROW_COUNT;
  FOR c IN
    SELECT m.id, m.reserved_usd FROM juggernaut.model_calls m JOIN juggernaut.attempts a USING (task_id, fence)
     WHERE m.state = 'reserved' AND a.ended_at < clock_timestamp() - juggernaut.seconds('write_off_seconds') LIMIT 200
  LOOP
    PERFORM juggernaut.settle(c.id, c.reserved_usd, '{"written_off": "the attempt ended without settling"}', 'written_off');
    n_written := n_written + 1;
  END LOOP;
  UPDATE public.approvals SET escalated_at = clock_timestamp()
   WHERE id = ANY (ARRAY(SELECT a.id FROM public.approvals a
                          WHERE a.status = 'pending' AND a.escalated_at IS NULL
                            AND a.requested_at < clock_timestamp() - juggernaut.seconds('approval_seconds') FOR NO KEY UPDATE SKIP LOCKED));
  n_sealed := juggernaut.seal_audit();
  PERFORM juggernaut.keep_log_partitions();
  RETURN jsonb_build_object('expired', n_expired, 'given_up', n_dead, 'stale', n_stale, 'due', n_due, 'written_off', n_written, 'sealed', n_sealed);
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.keep_log_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  month_start date;
  part record;
  changed integer := 0;
  v_patience text := current_setting('lock_timeout');
BEGIN
  IF NOT juggernaut.alone('log_partitions') THEN
    RETURN 0;
  END IF;
  FOR month_start IN
    SELECT (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + make_interval(months => n))::date
      FROM generate_series(0, 1) AS n
  LOOP
    IF to_regclass(format('public.execution_logs_%s', to_char(month_start, 'YYYYMM'))) IS NULL
       AND NOT EXISTS (SELECT FROM public.execution_logs_other
                        WHERE created_at >= month_start::timestamp AT TIME ZONE 'UTC') THEN
      PERFORM set_config('lock_timeout', '200ms', true); -- whoever reads the logs goes first: the next sweep tries again
      EXECUTE format('CREATE TABLE public.execution_logs_%s PARTITION OF public.execution_logs FOR VALUES FROM (%L) TO (%L)',
                     to_char(month_start, 'YYYYMM'),
                     (month_start::timestamp AT TIME ZONE 'UTC'),
                     ((month_start + interval '1 month') AT TIME ZONE 'UTC'));
      changed := changed + 1;
    END IF;
  END LOOP;
  FOR part IN
    SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'public.execution_logs'::regclass AND c.relname ~ '^execution_logs_[0-9]{6}$'
       AND to_date(right(c.relname, 6), 'YYYYMM')
           < (date_trunc('month', clock_timestamp()) - make_interval(months => juggernaut.threshold('log_months')::int))::date
  LOOP
    PERFORM set_config('lock_timeout', '200ms', true);
    EXECUTE format('DROP TABLE public.%I', part.relname);
    changed := changed + 1;
  END LOOP;
  PERFORM set_config('lock_timeout', v_patience, true);
  RETURN changed;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0; -- with what was done before it, and with lock_timeout, taken back
END
$$;

-- Registering again opens no session, and asking who waits walks no other.
CREATE OR REPLACE FUNCTION juggernaut.guard_registry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.login <> juggernaut.acting() AND juggernaut.acting_kind() = 'worker'
     AND NOT (NEW.status = 'stale' AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.id = OLD.instance_id
                AND (s.closed_at IS NOT NULL OR s.beat_at < clock_timestamp() - juggernaut.seconds('stale_seconds')))) THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s belongs to another login', OLD.worker_id));
  END IF;
  IF pg_column_size(NEW.capabilities) > 16384 OR pg_column_size(NEW.metadata) > 16384 OR length(NEW.version) > 255 OR length(NEW.host) > 255 THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s says too much of itself', left(NEW.worker_id, 60)), 'capabilities and metadata have 16 KiB, version and host 255 signs');
  END IF;
  NEW.last_heartbeat := CASE WHEN TG_OP = 'UPDATE' AND NEW.status IN ('stale', 'offline') THEN OLD.last_heartbeat ELSE clock_timestamp() END;
  IF TG_OP = 'INSERT' THEN
    NEW.login := juggernaut.acting();
    NEW.started_at := clock_timestamp();
  END IF;
  IF TG_OP = 'INSERT' AND NEW.instance_id IS NULL AND EXISTS (SELECT FROM public.worker_registry w WHERE w.worker_id = NEW.worker_id) THEN
    RETURN NEW; -- ON CONFLICT: the row that is there has a session, or gets one by the update
  END IF;
  IF NEW.instance_id IS NULL OR (TG_OP = 'UPDATE' AND NEW.instance_id = OLD.instance_id AND NEW.status NOT IN ('stale', 'offline') AND NOT EXISTS (
       SELECT FROM juggernaut.sessions s WHERE s.id = NEW.instance_id AND s.closed_at IS NULL)) THEN
    NEW.instance_id := gen_random_uuid();
    INSERT INTO juggernaut.sessions (id, worker_id, worker_type, login, expires_at)
      VALUES (NEW.instance_id, NEW.worker_id, NEW.worker_type, NEW.login, clock_timestamp() + juggernaut.seconds('raw_session_seconds'));
  ELSIF NEW.status NOT IN ('stale', 'offline') THEN
    UPDATE juggernaut.sessions SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + juggernaut.seconds('raw_session_seconds')
     WHERE id = NEW.instance_id AND secret_hash IS NULL AND closed_at IS NULL;
  END IF;
  RETURN NEW;
END
$$;

CREATE INDEX sessions_waiting ON juggernaut.sessions (id) WHERE waiting AND closed_at IS NULL;

CREATE OR REPLACE FUNCTION juggernaut.take_rate_v1(p_model text, p_requests numeric, p_tokens numeric, p_call_tokens bigint) RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_minute constant interval := '60 seconds';
  v_most constant interval := '10 minutes'; -- one call keeps the others waiting no longer, whatever limits its caller names
  v_request interval;
  v_tokens interval;
BEGIN
  IF p_requests <= 0 OR p_tokens <= 0 OR coalesce(p_call_tokens, -1) < 0 OR p_requests > 1e9 OR p_tokens > 1e12 OR p_call_tokens > 1e9 THEN
    PERFORM juggernaut.refuse('JG001', format('model %s: limits per minute must be above 0, and a call''s tokens not negative', p_model));
  END IF;
  v_request := least(coalesce(v_minute / p_requests::float8, '0'), v_most);
  v_tokens := least(coalesce(v_minute * (p_call_tokens / p_tokens)::float8, '0'), v_most);
  INSERT INTO juggernaut.model_rates AS r (model, requests_until, tokens_until)
    VALUES (p_model, clock_timestamp() + v_request, clock_timestamp() + v_tokens)
    ON CONFLICT (model) DO UPDATE
       SET requests_until = greatest(r.requests_until, clock_timestamp()) + v_request,
           tokens_until = greatest(r.tokens_until, clock_timestamp()) + v_tokens
     WHERE (p_requests IS NULL OR r.requests_until <= clock_timestamp() + greatest(v_minute - v_request, '0'))
       AND (p_tokens IS NULL OR r.tokens_until <= clock_timestamp() + greatest(v_minute - v_tokens, '0'));
  IF FOUND THEN
    RETURN 0;
  END IF;
  RETURN (SELECT greatest(0.05, extract(epoch FROM greatest(
            CASE WHEN p_requests IS NOT NULL THEN r.requests_until - clock_timestamp() - greatest(v_minute - v_request, '0') END,
            CASE WHEN p_tokens IS NOT NULL THEN r.tokens_until - clock_timestamp() - greatest(v_minute - v_tokens, '0') END)))
            FROM juggernaut.model_rates r WHERE r.model = p_model);
END
$$;
