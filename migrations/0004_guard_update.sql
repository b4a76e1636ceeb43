-- The guard, second part: moves between states, and what follows from them.
SET LOCAL ROLE juggernaut_owner;

-- A claim typed as plain SQL: the login must own the registered worker and be granted the type.
CREATE FUNCTION juggernaut.raw_claim(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  w public.worker_registry;
BEGIN
  IF NOT old.ready THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is not claimable yet: %s', old.id,
      CASE WHEN old.waits > 0 THEN 'it needs other tasks' ELSE 'it is not due' END));
  END IF;
  SELECT * INTO w FROM public.worker_registry WHERE worker_id = new.assigned_worker;
  IF w.worker_id IS NULL OR w.login <> juggernaut.acting() THEN
    PERFORM juggernaut.refuse('JG001', format('%L is not a worker that %s registered', new.assigned_worker, juggernaut.acting()),
                              'insert the worker into worker_registry first');
  END IF;
  IF NOT EXISTS (SELECT FROM juggernaut.grants g WHERE g.worker_type = w.worker_type AND g.task_type = old.task_type) THEN
    PERFORM juggernaut.refuse('JG001', format('%s is not granted task type %L', w.worker_type, old.task_type),
                              format('an operator may: SELECT grant_capability(%L, %L)', w.worker_type, old.task_type));
  END IF;
  IF old.assignment IS NOT NULL AND old.assignment NOT IN (w.worker_id, w.worker_type) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is assigned to %L', old.id, old.assignment));
  END IF;
  IF juggernaut.paused(w.worker_type, w.worker_id, old.task_type, old.goal_id) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is paused', old.id), 'SELECT * FROM controls');
  END IF;
  IF juggernaut.higher_risk(old.risk_level, 'medium') <> 'medium' OR old.requires_approval THEN
    IF NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = old.id AND a.status = 'approved') THEN
      PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) needs an approval first', old.id, old.risk_level),
                                'set status = waiting_approval with an approval_reason');
    END IF;
  END IF;
  UPDATE juggernaut.sessions SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + juggernaut.seconds('raw_session_seconds')
   WHERE id = w.instance_id AND secret_hash IS NULL AND closed_at IS NULL;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s has no open plain-SQL session', w.worker_id),
                              'register it again in worker_registry');
  END IF;
  new.fence := old.fence + 1;
  new.attempts := old.attempts + 1;
  new.started_at := clock_timestamp();
  new.session_id := w.instance_id;
  new.lease_login := juggernaut.acting();
  new.lease_hash := NULL;
  new.lease_until := clock_timestamp() + make_interval(secs => old.timeout_seconds) + juggernaut.seconds('timeout_grace_seconds');
  new.error_message := NULL;
  INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login)
    VALUES (new.id, new.fence, new.session_id, w.worker_id, juggernaut.acting());
  RETURN new;
END
$$;

-- An end typed as plain SQL by the login that claimed with plain SQL. What it says of its work is
-- kept as self-reported: a code task is merged only when the forge says so.
CREATE FUNCTION juggernaut.raw_finish(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  ended text;
  bytes jsonb;
BEGIN
  IF old.lease_hash IS NOT NULL OR old.lease_login <> juggernaut.acting() THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is held by another attempt', old.id));
  END IF;
  IF new.status = 'completed' THEN
    IF new.completion_evidence IS NULL OR length(btrim(new.completion_evidence)) < 40 THEN
      PERFORM juggernaut.refuse('JG001', format('task %s cannot be completed without evidence', old.id),
        format('completion_evidence must state facts for %s: %s', old.task_type,
               (SELECT array_to_string(required_facts, ', ') FROM juggernaut.task_types WHERE task_type = old.task_type)));
    END IF;
    new := juggernaut.self_reported(old, new);
    ended := new.status;
  ELSIF new.status = 'failed' THEN
    IF new.error_message IS NULL OR length(btrim(new.error_message)) = 0 THEN
      PERFORM juggernaut.refuse('JG001', 'failed needs an error_message');
    END IF;
    new.completed_at := clock_timestamp();
    ended := 'failed';
  ELSIF new.status = 'waiting_approval' THEN
    bytes := jsonb_build_object('task_id', old.id, 'title', old.title, 'description', old.description, 'payload', old.payload,
                                'acceptance_criteria', old.acceptance_criteria, 'reason', new.approval_reason);
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp() WHERE task_id = old.id AND status = 'pending';
    INSERT INTO public.approvals (task_id, gate, digest, body, risk_level, reason, need, requested_by)
      SELECT old.id, 'plan', encode(sha256(convert_to(bytes::text, 'UTF8')), 'hex'), bytes, old.risk_level,
             coalesce(new.approval_reason, 'asked for by ' || juggernaut.acting()), greatest(r.approvers, 1), juggernaut.acting()
        FROM juggernaut.risks r WHERE r.risk_level = old.risk_level
      ON CONFLICT (task_id, gate, digest) DO UPDATE SET status = 'pending', decided_at = NULL;
    new.requires_approval := true;
    new.attempts := old.attempts - 1;
    ended := 'parked';
  ELSE
    new.attempts := old.attempts - 1;
    ended := 'released';
  END IF;
  new.session_id := NULL; new.lease_login := NULL; new.lease_until := NULL;
  new.assigned_worker := CASE WHEN ended IN ('parked', 'released') THEN old.assignment ELSE old.assigned_worker END;
  UPDATE juggernaut.attempts SET ended_at = clock_timestamp(), ended_as = ended, error_message = new.error_message
   WHERE task_id = old.id AND fence = old.fence;
  RETURN new;
END
$$;

CREATE FUNCTION juggernaut.self_reported(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  said text := new.completion_evidence;
  facts jsonb := jsonb_build_object('self_reported', said);
  pull text[] := regexp_match(said, 'https://[^\s]+/pull/([0-9]+)');
  passed text[] := regexp_match(said, '([0-9]+)[a-z ]{0,20} pass', 'i');
  missing text := NULL;
BEGIN
  IF old.task_type IN ('code', 'documentation') THEN
    IF old.task_type = 'code' AND pull IS NULL THEN
      missing := 'the URL of the merged pull request';
    ELSIF old.task_type = 'documentation' AND said !~ '(https?://|[\w-]+/[\w.-]+|\w+\.\w{2,4})' THEN
      missing := 'where the document is';
    END IF;
  ELSIF old.task_type = 'test' AND passed IS NULL THEN
    missing := 'pass and fail counts';
  ELSIF old.task_type = 'research' AND said !~ 'https?://' THEN
    missing := 'the sources that it rests on';
  ELSIF old.task_type = 'verification' AND said !~* '(pass|fail|ok|met)' THEN
    missing := 'each check with its result';
  END IF;
  IF missing IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for a %s task must name %s', old.task_type, missing));
  END IF;
  INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)
    VALUES (old.id, old.fence, old.task_type, facts || jsonb_strip_nulls(jsonb_build_object('pull_url', substring(said FROM 'https://[^\s]+/pull/[0-9]+'))),
            'self-reported', juggernaut.acting())
    RETURNING id INTO new.evidence_id;
  INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source, facts)
    SELECT old.id, old.fence, c.number, 'met', 'self-reported', '{}' FROM juggernaut.criteria c WHERE c.task_id = old.id;
  IF old.task_type = 'code' THEN
    new.status := 'awaiting_merge'; -- a claim of a merge; the forge has the last word
    new.completed_at := NULL;
  ELSE
    new.completed_at := clock_timestamp();
  END IF;
  RETURN new;
END
$$;

CREATE FUNCTION juggernaut.paused(p_role text, p_worker text, p_type text, p_goal uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM public.controls c WHERE c.scope IN
    ('all', 'role:' || p_role, 'worker:' || p_worker, 'type:' || p_type, 'goal:' || p_goal))
$$;

CREATE FUNCTION juggernaut.guard_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  kind text;
  certified boolean := NEW.fence <> OLD.fence OR NEW.waits <> OLD.waits
                       OR (OLD.lease_login IS NOT NULL AND NEW.lease_login IS NULL);
  content boolean := (NEW.title, NEW.description, NEW.task_type, NEW.acceptance_criteria, NEW.payload, NEW.repo)
                     IS DISTINCT FROM (OLD.title, OLD.description, OLD.task_type, OLD.acceptance_criteria, OLD.payload, OLD.repo);
BEGIN
  IF NEW.id <> OLD.id OR NEW.created_by <> OLD.created_by OR NEW.created_at <> OLD.created_at OR NEW.fence < OLD.fence
     OR NEW.depends_on <> OLD.depends_on THEN
    PERFORM juggernaut.refuse('JG001', 'id, created_by, created_at and depends_on never change, and a fence only grows');
  END IF;
  IF OLD.status IN ('completed', 'rejected', 'cancelled') AND NOT (NEW.status = OLD.status AND NOT content AND NEW.evidence_id IS NOT DISTINCT FROM OLD.evidence_id) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is %s, and that is final', OLD.id, OLD.status));
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
  RETURN NEW;
END
$$;

CREATE FUNCTION juggernaut.guard_move(old public.governance_tasks, new public.governance_tasks, kind text, certified boolean)
RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  answer text;
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.transitions WHERE old_status = old.status AND new_status = new.status) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s cannot go from %s to %s', old.id, old.status, new.status));
  END IF;
  IF old.status = 'waiting_approval' AND new.status IN ('pending', 'rejected') AND NOT certified THEN
    answer := juggernaut.decide(old.id, CASE new.status WHEN 'rejected' THEN 'rejected' ELSE 'approved' END,
                                CASE new.status WHEN 'rejected' THEN new.error_message ELSE new.approved_by END);
    IF answer = 'more' THEN
      new.status := old.status;
      RAISE NOTICE 'approved by %, one more person has to approve', juggernaut.acting();
    ELSE
      new.approved_by := juggernaut.acting();
      new.approved_at := clock_timestamp();
      new.completed_at := CASE WHEN answer = 'rejected' THEN clock_timestamp() END;
      new.error_message := CASE WHEN answer = 'rejected' THEN coalesce(new.error_message, 'rejected by ' || juggernaut.acting()) END;
    END IF;
    RETURN new;
  END IF;
  IF kind = 'worker' AND NOT certified THEN
    IF old.status = 'pending' AND new.status = 'in_progress' THEN
      RETURN juggernaut.raw_claim(old, new);
    ELSIF old.status = 'in_progress' AND new.status IN ('completed', 'failed', 'waiting_approval', 'pending') THEN
      RETURN juggernaut.raw_finish(old, new);
    END IF;
    PERFORM juggernaut.refuse('JG001', format('a worker may not move task %s from %s to %s', old.id, old.status, new.status));
  END IF;
  IF NOT certified AND (old.status = 'in_progress' OR new.status IN ('in_progress', 'completed', 'waiting', 'waiting_approval', 'awaiting_merge')) THEN
    IF new.status <> 'cancelled' THEN
      PERFORM juggernaut.refuse('JG001', format('a move from %s to %s is made by the worker that holds the task', old.status, new.status),
                                'a person may approve, reject, retry (failed -> pending), unblock (blocked -> pending) or cancel');
    END IF;
  END IF;
  IF new.status = 'cancelled' THEN
    UPDATE juggernaut.attempts SET ended_at = clock_timestamp(), ended_as = 'cancelled' WHERE task_id = old.id AND ended_at IS NULL;
    new.fence := old.fence + 1; -- whoever works on it now holds nothing any more
    new.session_id := NULL; new.lease_login := NULL; new.lease_hash := NULL; new.lease_until := NULL;
  END IF;
  IF old.status = 'failed' AND new.status = 'pending' THEN
    new.attempts := 0; new.run_after := NULL; new.completed_at := NULL;
  END IF;
  IF old.status = 'blocked' THEN
    new.blocked_reason := NULL; new.blocked_owner := NULL; new.blocked_at := NULL;
    new.status := CASE WHEN new.status = 'pending' AND new.waits > 0 THEN 'waiting' ELSE new.status END;
  END IF;
  IF new.status IN ('cancelled', 'failed', 'rejected') THEN
    new.completed_at := coalesce(new.completed_at, clock_timestamp());
  END IF;
  IF new.status = 'completed' AND EXISTS (
       SELECT FROM juggernaut.criteria c LEFT JOIN juggernaut.verdicts v
         ON v.task_id = c.task_id AND v.number = c.number AND v.fence = new.fence
        WHERE c.task_id = new.id AND v.verdict IS DISTINCT FROM 'met') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has a criterion without the verdict "met"', new.id));
  END IF;
  RETURN new;
END
$$;

-- What follows from a move: dependants, approvals, the event.
CREATE FUNCTION juggernaut.after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  dependant uuid;
BEGIN
  IF NEW.acceptance_criteria IS DISTINCT FROM OLD.acceptance_criteria THEN
    IF EXISTS (SELECT FROM juggernaut.verdicts WHERE task_id = NEW.id) THEN
      PERFORM juggernaut.refuse('JG001', 'criteria that were judged already cannot change', 'cancel the task and add a new one');
    END IF;
    DELETE FROM juggernaut.criteria WHERE task_id = NEW.id;
    INSERT INTO juggernaut.criteria (task_id, number, text, check_argv)
      SELECT NEW.id, c.number, c.criterion, c.check_argv FROM juggernaut.parse_criteria(NEW.acceptance_criteria) c;
  END IF;
  IF NEW.status = OLD.status THEN
    RETURN NULL;
  END IF;
  PERFORM juggernaut.record_event('task.' || NEW.status, NEW.id::text,
    jsonb_build_object('status', OLD.status, 'fence', OLD.fence),
    jsonb_strip_nulls(jsonb_build_object('status', NEW.status, 'fence', NEW.fence, 'worker', NEW.assigned_worker, 'error', left(NEW.error_message, 500))));
  IF NEW.status IN ('cancelled', 'rejected', 'failed') THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp() WHERE task_id = NEW.id AND status = 'pending';
  END IF;
  IF NEW.status = 'completed' THEN
    FOR dependant IN UPDATE juggernaut.dependencies SET met = true WHERE needs_id = NEW.id AND NOT met RETURNING task_id LOOP
      UPDATE public.governance_tasks SET waits = waits - 1,
             status = CASE WHEN status = 'waiting' AND waits = 1 THEN 'pending' ELSE status END
       WHERE id = dependant;
    END LOOP;
  ELSIF NEW.status IN ('failed', 'rejected', 'cancelled') THEN
    UPDATE public.governance_tasks t
       SET status = 'blocked', fence = t.fence + 1, blocked_at = clock_timestamp(), blocked_owner = 'a person',
           blocked_reason = format('needs task %s, which is %s: retry_task or cancel_task it', NEW.id, NEW.status)
      FROM juggernaut.dependencies d
     WHERE d.needs_id = NEW.id AND NOT d.met AND t.id = d.task_id AND t.status = 'waiting';
  ELSIF OLD.status = 'failed' AND NEW.status = 'pending' THEN
    UPDATE public.governance_tasks t SET status = 'waiting', fence = t.fence + 1
      FROM juggernaut.dependencies d
     WHERE d.needs_id = NEW.id AND NOT d.met AND t.id = d.task_id AND t.status = 'blocked' AND t.waits > 0;
  END IF;
  RETURN NULL;
END
$$;

CREATE FUNCTION juggernaut.announce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  -- One wake-up per statement and type, and only when somebody sleeps. A hint: polling is the truth.
  IF EXISTS (SELECT FROM fresh WHERE ready) AND EXISTS (SELECT FROM juggernaut.sessions WHERE waiting AND closed_at IS NULL) THEN
    PERFORM pg_notify('juggernaut_work', task_type) FROM (SELECT DISTINCT task_type FROM fresh WHERE ready) d;
  END IF;
  RETURN NULL;
END
$$;

CREATE FUNCTION juggernaut.append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.refuse('JG001', format('%s.%s is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME));
  RETURN NULL;
END
$$;

CREATE FUNCTION juggernaut.no_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.refuse('JG001', 'tasks are never deleted', 'SELECT cancel_task(id, reason)');
  RETURN NULL;
END
$$;

CREATE TRIGGER guard_insert BEFORE INSERT ON public.governance_tasks FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_insert();
CREATE TRIGGER guard_update BEFORE UPDATE ON public.governance_tasks FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_update();
CREATE TRIGGER guard_delete BEFORE DELETE ON public.governance_tasks FOR EACH ROW EXECUTE FUNCTION juggernaut.no_delete();
CREATE TRIGGER follow_insert AFTER INSERT ON public.governance_tasks FOR EACH ROW EXECUTE FUNCTION juggernaut.after_insert();
CREATE TRIGGER follow_update AFTER UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.acceptance_criteria IS DISTINCT FROM NEW.acceptance_criteria)
  EXECUTE FUNCTION juggernaut.after_update();
CREATE TRIGGER announce_insert AFTER INSERT ON public.governance_tasks REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.announce();
CREATE TRIGGER announce_update AFTER UPDATE ON public.governance_tasks REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.announce();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_insert;
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_update;
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_delete;
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER follow_insert;
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER follow_update;

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['juggernaut.evidence', 'juggernaut.verdicts', 'juggernaut.decisions', 'juggernaut.events',
                           'juggernaut.seals', 'juggernaut.plans', 'public.execution_logs', 'public.reports'] LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION juggernaut.append_only()', t);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', t);
  END LOOP;
END
$$;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OF task_id, worker_id, category, title, description, impact_score, tags, created_at
  ON public.learnings FOR EACH ROW EXECUTE FUNCTION juggernaut.append_only();
ALTER TABLE public.learnings ENABLE ALWAYS TRIGGER append_only;

CREATE FUNCTION juggernaut.guard_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  NEW.level := CASE NEW.level WHEN 'warn' THEN 'warning' ELSE NEW.level END;
  NEW.login := juggernaut.acting();
  NEW.created_at := clock_timestamp();
  IF juggernaut.acting_kind() = 'worker' AND NOT EXISTS (
       SELECT FROM public.worker_registry w WHERE w.worker_id = NEW.worker_id AND w.login = NEW.login) THEN
    PERFORM juggernaut.refuse('JG001', format('%L is not a worker of %s', NEW.worker_id, NEW.login));
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_log BEFORE INSERT ON public.execution_logs FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_log();

CREATE FUNCTION juggernaut.guard_learning() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  NEW.created_at := clock_timestamp();
  IF juggernaut.acting_kind() = 'worker' THEN
    IF NOT EXISTS (SELECT FROM juggernaut.attempts a WHERE a.task_id = NEW.task_id AND a.login = juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('%s has not worked on task %s', juggernaut.acting(), NEW.task_id));
    END IF;
    NEW.scope := (SELECT repo FROM public.governance_tasks WHERE id = NEW.task_id);
    NEW.applied_count := 0;
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_learning BEFORE INSERT ON public.learnings FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_learning();

-- Workers that use plain SQL register, beat and are known by their login; time is the database's.
CREATE FUNCTION juggernaut.guard_registry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.login <> juggernaut.acting() AND juggernaut.acting_kind() = 'worker'
     AND NEW.status <> 'stale' THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s belongs to another login', OLD.worker_id));
  END IF;
  NEW.last_heartbeat := CASE WHEN TG_OP = 'UPDATE' AND NEW.status IN ('stale', 'offline') THEN OLD.last_heartbeat ELSE clock_timestamp() END;
  IF TG_OP = 'INSERT' THEN
    NEW.login := juggernaut.acting();
    NEW.started_at := clock_timestamp();
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
CREATE TRIGGER guard_registry BEFORE INSERT OR UPDATE ON public.worker_registry FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_registry();
ALTER TABLE public.worker_registry ENABLE ALWAYS TRIGGER guard_registry;
