-- What a single insert pays. Each CHECK is parsed anew by each statement, a join of three small tables
-- costs more than a row of one, and a statement trigger keeps copies of what it is told of: so the
-- guard judges what is content, a lane knows its floor and weight, and each new row is followed alone.
SET LOCAL ROLE juggernaut_owner;

-- The risks are four, known to every program that reads them, and none is removed.
CREATE OR REPLACE FUNCTION juggernaut.higher_risk(a text, b text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN 'critical' IN (a, b) THEN 'critical' WHEN 'high' IN (a, b) THEN 'high' WHEN 'medium' IN (a, b) THEN 'medium' ELSE 'low' END;

-- A lane repeats the floor of its type and the weight of its priority; whoever makes a lane while a
-- policy changes them waits for it, and a policy for whoever makes a lane.
ALTER TABLE juggernaut.lanes ADD COLUMN risk_floor text, ADD COLUMN weight_seconds integer;
UPDATE juggernaut.lanes l SET risk_floor = y.risk_floor, weight_seconds = q.weight_seconds
  FROM juggernaut.task_types y, juggernaut.priorities q WHERE y.task_type = l.task_type AND q.priority = l.priority;
ALTER TABLE juggernaut.lanes ALTER COLUMN risk_floor SET NOT NULL, ALTER COLUMN weight_seconds SET NOT NULL;
CREATE FUNCTION juggernaut.fill_lane() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  SELECT y.risk_floor, q.weight_seconds INTO NEW.risk_floor, NEW.weight_seconds
    FROM juggernaut.task_types y, juggernaut.priorities q
   WHERE y.task_type = NEW.task_type AND q.priority = NEW.priority FOR SHARE;
  RETURN NEW;
END
$$;
CREATE TRIGGER fill_lane BEFORE INSERT OR UPDATE OF task_type, assignment, priority, risk_floor, weight_seconds
  ON juggernaut.lanes FOR EACH ROW EXECUTE FUNCTION juggernaut.fill_lane();
ALTER TABLE juggernaut.lanes ENABLE ALWAYS TRIGGER fill_lane;
CREATE FUNCTION juggernaut.refill_lanes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.lanes l SET risk_floor = y.risk_floor, weight_seconds = q.weight_seconds
    FROM juggernaut.task_types y, juggernaut.priorities q
   WHERE y.task_type = l.task_type AND q.priority = l.priority
     AND (l.risk_floor, l.weight_seconds) IS DISTINCT FROM (y.risk_floor, q.weight_seconds);
  RETURN NULL;
END
$$;
CREATE TRIGGER refill_lanes AFTER UPDATE ON juggernaut.task_types FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.refill_lanes();
CREATE TRIGGER refill_lanes AFTER UPDATE ON juggernaut.priorities FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.refill_lanes();
ALTER TABLE juggernaut.task_types ENABLE ALWAYS TRIGGER refill_lanes;
ALTER TABLE juggernaut.priorities ENABLE ALWAYS TRIGGER refill_lanes;

ALTER TABLE public.governance_tasks
  DROP CONSTRAINT governance_tasks_completion_evidence_check, DROP CONSTRAINT governance_tasks_error_message_check,
  DROP CONSTRAINT governance_tasks_waits_check, DROP CONSTRAINT blocked_has_owner, DROP CONSTRAINT failed_has_reason;

-- What is wrong with the content of a task, in words; null when nothing is.
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
END;

-- The same checks as before; the lane is looked up alone.
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

-- The same as before, and the checks of the constraints that went.
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

-- What follows from the content of a new task: criteria, dependencies, purse.
CREATE FUNCTION juggernaut.follow_content(t public.governance_tasks) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  unmet integer;
BEGIN
  IF t.acceptance_criteria IS NOT NULL THEN
    INSERT INTO juggernaut.criteria (task_id, number, text, check_argv)
      SELECT t.id, c.number, c.criterion, c.check_argv FROM juggernaut.parse_criteria(t.acceptance_criteria) c;
  END IF;
  IF cardinality(t.depends_on) > 0 THEN
    INSERT INTO juggernaut.dependencies (task_id, needs_id, met)
      SELECT t.id, n.id, n.status = 'completed'
        FROM (SELECT g.id, g.status FROM public.governance_tasks g WHERE g.id = ANY (t.depends_on) ORDER BY g.id FOR SHARE) n;
    -- A need may have completed between the count and the lock.
    SELECT count(*) FILTER (WHERE NOT d.met) INTO unmet FROM juggernaut.dependencies d WHERE d.task_id = t.id;
    UPDATE public.governance_tasks g SET waits = unmet,
           status = CASE WHEN unmet = 0 AND g.status = 'waiting' THEN 'pending' ELSE g.status END
     WHERE g.id = t.id AND g.waits <> unmet;
  END IF;
  IF t.budget_usd IS NOT NULL THEN
    INSERT INTO public.budgets (scope, cap_usd) VALUES ('task:' || t.id, t.budget_usd);
  END IF;
END
$$;

-- What follows from each new task: event, content, wake-up. A NOTIFY makes the commits of a whole
-- server queue up, so while one wake-up is under way the next is left out: whoever is woken looks
-- again a moment later, and polls in any case.
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
     AND pg_try_advisory_xact_lock(7463, (extract(epoch FROM clock_timestamp()) * 50)::bigint::bit(31)::integer) THEN
    PERFORM pg_notify('juggernaut_work', NEW.task_type);
  END IF;
  RETURN NULL;
END
$$;
DROP TRIGGER follow_insert ON public.governance_tasks;
CREATE TRIGGER follow_insert AFTER INSERT ON public.governance_tasks FOR EACH ROW EXECUTE FUNCTION juggernaut.follow_new();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER follow_insert;
DROP FUNCTION juggernaut.hint(text[]);
