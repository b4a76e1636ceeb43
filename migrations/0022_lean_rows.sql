-- What every write of a task pays. A CHECK is parsed anew by each statement and a key to a table of
-- four rows locks one of them for each, so what only content can break is judged by the guard when
-- content is written; the constraints that carry the law (evidence, holder, order of claims) stay.
SET LOCAL ROLE juggernaut_owner;

ALTER TABLE public.governance_tasks
  DROP CONSTRAINT governance_tasks_acceptance_criteria_check, DROP CONSTRAINT governance_tasks_attempts_check,
  DROP CONSTRAINT governance_tasks_budget_usd_check, DROP CONSTRAINT governance_tasks_concurrency_key_check,
  DROP CONSTRAINT governance_tasks_dedupe_key_check, DROP CONSTRAINT governance_tasks_description_check,
  DROP CONSTRAINT governance_tasks_max_attempts_check, DROP CONSTRAINT governance_tasks_on_failed_need_check,
  DROP CONSTRAINT governance_tasks_payload_check, DROP CONSTRAINT governance_tasks_status_check,
  DROP CONSTRAINT governance_tasks_timeout_seconds_check, DROP CONSTRAINT governance_tasks_title_check,
  DROP CONSTRAINT governance_tasks_priority_fkey, DROP CONSTRAINT governance_tasks_risk_level_fkey,
  DROP CONSTRAINT governance_tasks_task_type_fkey;

-- The rows that tasks name stay: with the keys gone, this is what keeps them.
CREATE FUNCTION juggernaut.no_removal() RETURNS trigger
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.refuse('JG001', format('%s are named by tasks: none is removed or renamed', TG_TABLE_NAME),
                            'revoke_capability keeps workers from a task type');
  RETURN NULL;
END
$$;
CREATE TRIGGER no_removal BEFORE DELETE OR UPDATE OF task_type ON juggernaut.task_types FOR EACH ROW EXECUTE FUNCTION juggernaut.no_removal();
CREATE TRIGGER no_removal BEFORE DELETE OR UPDATE OF risk_level ON juggernaut.risks FOR EACH ROW EXECUTE FUNCTION juggernaut.no_removal();
CREATE TRIGGER no_removal BEFORE DELETE OR UPDATE OF priority ON juggernaut.priorities FOR EACH ROW EXECUTE FUNCTION juggernaut.no_removal();
ALTER TABLE juggernaut.task_types ENABLE ALWAYS TRIGGER no_removal;
ALTER TABLE juggernaut.risks ENABLE ALWAYS TRIGGER no_removal;
ALTER TABLE juggernaut.priorities ENABLE ALWAYS TRIGGER no_removal;

-- What is wrong with the content of a task, in words; null when nothing is.
CREATE FUNCTION juggernaut.content_fault(t public.governance_tasks) RETURNS text
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
END;

-- The same checks as before, and those of the constraints that went; one look-up in the usual case.
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
  SELECT l.lane, y.risk_floor, q.weight_seconds INTO v_lane, floor, v_weight
    FROM juggernaut.lanes l JOIN juggernaut.task_types y USING (task_type) JOIN juggernaut.priorities q USING (priority)
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
     OR NEW.lease_login IS NOT NULL OR NEW.lease_hash IS NOT NULL OR NEW.lease_until IS NOT NULL THEN
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
    IF NOT EXISTS (SELECT FROM juggernaut.risks r WHERE r.risk_level = NEW.risk_level) THEN
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

-- The same as before, and the checks of the constraints and keys that went.
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
  RETURN NEW;
END
$$;

-- Says to those who sleep that there is work of these types. A NOTIFY makes the commits of a whole
-- server queue up, so while one wake-up is under way the next is left out: whoever is woken looks
-- again a moment later, and polls in any case.
CREATE FUNCTION juggernaut.hint(p_types text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM juggernaut.sessions s WHERE s.waiting AND s.closed_at IS NULL)
     AND pg_try_advisory_xact_lock(7463, (extract(epoch FROM clock_timestamp()) * 50)::bigint::bit(31)::integer) THEN
    PERFORM pg_notify('juggernaut_work', y.task_type) FROM unnest(p_types) AS y (task_type);
  END IF;
END
$$;

-- What follows from new tasks follows once per statement: event, criteria, dependencies, purse, hint.
CREATE OR REPLACE FUNCTION juggernaut.follow_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  has record;
BEGIN
  WITH told AS (
    INSERT INTO juggernaut.events (login, application, kind, subject, before, after)
      SELECT juggernaut.acting(), left(current_setting('application_name', true), 64), 'task.created', f.id::text, NULL,
             jsonb_build_object('title', f.title, 'task_type', f.task_type, 'status', f.status, 'risk_level', f.risk_level)
        FROM fresh f
  )
  SELECT bool_or(f.acceptance_criteria IS NOT NULL) AS criteria, bool_or(cardinality(f.depends_on) > 0) AS needs,
         bool_or(f.budget_usd IS NOT NULL) AS purse, array_agg(DISTINCT f.task_type) FILTER (WHERE f.ready) AS types
    INTO has FROM fresh f;
  IF has.criteria THEN
    INSERT INTO juggernaut.criteria (task_id, number, text, check_argv)
      SELECT f.id, c.number, c.criterion, c.check_argv
        FROM fresh f CROSS JOIN LATERAL juggernaut.parse_criteria(f.acceptance_criteria) c WHERE f.acceptance_criteria IS NOT NULL;
  END IF;
  IF has.needs THEN
    INSERT INTO juggernaut.dependencies (task_id, needs_id, met)
      SELECT f.id, n.id, n.status = 'completed'
        FROM fresh f
       CROSS JOIN LATERAL (SELECT t.id, t.status FROM public.governance_tasks t
                            WHERE t.id = ANY (f.depends_on) ORDER BY t.id FOR SHARE) n
       WHERE cardinality(f.depends_on) > 0;
    -- A need may have completed between the count and the lock.
    UPDATE public.governance_tasks t SET waits = d.unmet,
           status = CASE WHEN d.unmet = 0 AND t.status = 'waiting' THEN 'pending' ELSE t.status END
      FROM (SELECT x.task_id, count(*) FILTER (WHERE NOT x.met)::integer AS unmet
              FROM juggernaut.dependencies x JOIN fresh f ON f.id = x.task_id GROUP BY 1) d
     WHERE t.id = d.task_id AND t.waits <> d.unmet;
  END IF;
  IF has.purse THEN
    INSERT INTO public.budgets (scope, cap_usd) SELECT 'task:' || f.id, f.budget_usd FROM fresh f WHERE f.budget_usd IS NOT NULL;
  END IF;
  IF has.types IS NOT NULL THEN
    PERFORM juggernaut.hint(has.types);
  END IF;
  RETURN NULL;
END
$$;
