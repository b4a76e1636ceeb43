-- The guard: every row of governance_tasks passes here, whoever writes it and however.
--
-- How the guard knows a write of the daemon's functions from a typed statement: the functions
-- own the machinery columns (fence, lease_*, waits), which no run-time login may write. A move
-- that carries no such change came by plain SQL and must prove itself: by its login.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.record_event(p_kind text, p_subject text, p_before jsonb, p_after jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  INSERT INTO juggernaut.events (login, application, kind, subject, before, after)
  VALUES (juggernaut.acting(), pg_catalog.left(pg_catalog.current_setting('application_name', true), 64),
          p_kind, p_subject, p_before, p_after)
$$;

CREATE FUNCTION juggernaut.parse_criteria(p_text text) RETURNS TABLE (number integer, criterion text, check_argv jsonb)
LANGUAGE plpgsql STABLE SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  items jsonb := NULL;
  item jsonb;
  line text;
  n integer := 0;
BEGIN
  IF p_text IS NULL OR btrim(p_text, E' \t\r\n') = '' THEN
    RETURN;
  END IF;
  IF left(btrim(p_text, E' \t\r\n'), 1) = '[' THEN
    BEGIN
      items := p_text::jsonb;
    EXCEPTION WHEN invalid_text_representation THEN
      items := NULL; -- a check list such as "[ ] do this" is plain lines
    END;
  END IF;
  IF items IS NULL THEN
    FOREACH line IN ARRAY regexp_split_to_array(p_text, E'\r?\n') LOOP
      line := btrim(regexp_replace(line, E'^\\s*([-*\u2022]|[0-9]{1,2}[.)])?\\s*(\\[[ xX]\\])?\\s*', ''), E' \t');
      CONTINUE WHEN line = '';
      n := n + 1;
      RETURN QUERY SELECT n, line, NULL::jsonb;
    END LOOP;
    RETURN;
  END IF;
  FOR item IN SELECT value FROM jsonb_array_elements(items) LOOP
    n := n + 1;
    IF jsonb_typeof(item) = 'string' THEN
      RETURN QUERY SELECT n, item #>> '{}', NULL::jsonb;
    ELSIF jsonb_typeof(item) = 'object' AND jsonb_typeof(item -> 'text') = 'string' THEN
      RETURN QUERY SELECT n, item ->> 'text', CASE jsonb_typeof(item -> 'check')
        WHEN 'array' THEN item -> 'check'
        WHEN 'string' THEN jsonb_build_array('sh', '-c', item ->> 'check')
        END;
      IF jsonb_typeof(item -> 'check') NOT IN ('array', 'string', 'null')
         OR jsonb_typeof(item -> 'check') = 'array' AND (jsonb_array_length(item -> 'check') = 0
         OR EXISTS (SELECT FROM jsonb_array_elements(item -> 'check') e WHERE jsonb_typeof(e) <> 'string')) THEN
        PERFORM juggernaut.refuse('JG001', format('criterion %s: "check" must be a command as a list of strings', n));
      END IF;
    ELSE
      PERFORM juggernaut.refuse('JG001', format('criterion %s is neither a text nor an object with "text"', n),
                                'write acceptance_criteria as lines, or as a JSON array of texts or {"text", "check"} objects');
    END IF;
  END LOOP;
END
$$;

CREATE FUNCTION juggernaut.lane_of(p_type text, p_assignment text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  found_lane integer;
BEGIN
  SELECT l.lane INTO found_lane FROM juggernaut.lanes l
   WHERE l.task_type = p_type AND l.assignment = coalesce(p_assignment, '');
  IF found_lane IS NULL THEN
    INSERT INTO juggernaut.lanes (task_type, assignment) VALUES (p_type, coalesce(p_assignment, ''))
    ON CONFLICT (task_type, assignment) DO UPDATE SET task_type = excluded.task_type
    RETURNING lane INTO found_lane;
  END IF;
  RETURN found_lane;
END
$$;

-- Puts a pending row into the claim order, or into the waiting room until it is due.
CREATE FUNCTION juggernaut.place(t public.governance_tasks, was_ready boolean) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF t.status <> 'pending' OR t.waits > 0 THEN
    t.ready := false;
    t.due_at := NULL;
    RETURN t;
  END IF;
  t.ready := t.run_after IS NULL OR t.run_after <= clock_timestamp();
  t.due_at := CASE WHEN t.ready THEN NULL ELSE t.run_after END;
  t.lane := juggernaut.lane_of(t.task_type, t.assignment);
  IF NOT was_ready OR t.claim_key IS NULL THEN
    SELECT (extract(epoch FROM greatest(clock_timestamp(), t.run_after)) * 1000)::bigint + p.weight_seconds * 1000
      INTO t.claim_key FROM juggernaut.priorities p WHERE p.priority = t.priority;
  END IF;
  RETURN t;
END
$$;

CREATE FUNCTION juggernaut.normal_priority(p text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  p := CASE p WHEN 'normal' THEN 'medium' WHEN 'deferred' THEN 'low' ELSE p END;
  IF NOT EXISTS (SELECT FROM juggernaut.priorities q WHERE q.priority = p) THEN
    PERFORM juggernaut.refuse('JG001', format('unknown priority %L', p), 'use critical, high, medium or low');
  END IF;
  RETURN p;
END
$$;

CREATE FUNCTION juggernaut.guard_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  types text;
  dead uuid;
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.task_types WHERE task_type = NEW.task_type) THEN
    SELECT string_agg(task_type, ', ' ORDER BY task_type) INTO types FROM juggernaut.task_types;
    PERFORM juggernaut.refuse('JG001', format('unknown task_type %L', NEW.task_type), 'known types: ' || types);
  END IF;
  IF NEW.status NOT IN ('pending', 'waiting') THEN
    PERFORM juggernaut.refuse('JG001', format('a task starts as pending, not as %L', NEW.status));
  END IF;
  IF NEW.dedupe_key IS NOT NULL AND EXISTS (
       SELECT FROM public.governance_tasks t WHERE t.dedupe_key = NEW.dedupe_key
          AND (t.completed_at IS NULL OR t.completed_at > clock_timestamp() - juggernaut.seconds('dedupe_seconds'))) THEN
    PERFORM juggernaut.refuse('JG001', format('a task with dedupe_key %L exists already', NEW.dedupe_key));
  END IF;
  IF NEW.risk_level <> ALL (SELECT r.risk_level FROM juggernaut.risks r) THEN
    PERFORM juggernaut.refuse('JG001', format('unknown risk_level %L', NEW.risk_level), 'use low, medium, high or critical');
  END IF;
  NEW.priority := juggernaut.normal_priority(NEW.priority);
  NEW.risk_level := juggernaut.higher_risk(NEW.risk_level,
    (SELECT risk_floor FROM juggernaut.task_types WHERE task_type = NEW.task_type));
  NEW.created_by := juggernaut.acting();
  NEW.created_at := clock_timestamp();
  NEW.assignment := NEW.assigned_worker;
  NEW.fence := 0; NEW.attempts := 0; NEW.evidence_id := NULL; NEW.completed_at := NULL;
  NEW.approved_by := NULL; NEW.approved_at := NULL; NEW.started_at := NULL;
  NEW.session_id := NULL; NEW.lease_login := NULL; NEW.lease_hash := NULL; NEW.lease_until := NULL;
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
  NEW.status := CASE WHEN NEW.waits > 0 THEN 'waiting' ELSE 'pending' END;
  RETURN juggernaut.place(NEW, false);
END
$$;

CREATE FUNCTION juggernaut.after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NEW.acceptance_criteria IS NOT NULL THEN
    INSERT INTO juggernaut.criteria (task_id, number, text, check_argv)
      SELECT NEW.id, c.number, c.criterion, c.check_argv FROM juggernaut.parse_criteria(NEW.acceptance_criteria) c;
  END IF;
  IF cardinality(NEW.depends_on) > 0 THEN
    INSERT INTO juggernaut.dependencies (task_id, needs_id, met)
      SELECT NEW.id, t.id, t.status = 'completed' FROM public.governance_tasks t
       WHERE t.id = ANY (NEW.depends_on) ORDER BY t.id FOR SHARE;
  END IF;
  IF NEW.budget_usd IS NOT NULL THEN
    INSERT INTO public.budgets (scope, cap_usd) VALUES ('task:' || NEW.id, NEW.budget_usd);
  END IF;
  PERFORM juggernaut.record_event('task.created', NEW.id::text, NULL,
    jsonb_build_object('title', NEW.title, 'task_type', NEW.task_type, 'status', NEW.status, 'risk_level', NEW.risk_level));
  RETURN NULL;
END
$$;

-- One decision of one person about the bytes behind the digest of the open request.
CREATE FUNCTION juggernaut.decide(p_task uuid, p_decision text, p_note text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  a public.approvals;
  who text := juggernaut.acting();
  proposer text;
  have integer;
BEGIN
  IF juggernaut.acting_kind() NOT IN ('approver', 'operator') THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not decide: only a login of juggernaut_approver may', who),
                              'juggernaut login create approver NAME');
  END IF;
  SELECT * INTO a FROM public.approvals WHERE task_id = p_task AND status = 'pending' FOR UPDATE;
  IF a.id IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no open approval request', p_task));
  END IF;
  SELECT created_by INTO proposer FROM public.governance_tasks WHERE id = p_task;
  IF p_decision = 'approved' AND who IN (proposer, a.requested_by) THEN
    PERFORM juggernaut.refuse('JG001', format('%s proposed task %s and cannot approve it', who, p_task),
                              'another login of juggernaut_approver has to decide');
  END IF;
  INSERT INTO juggernaut.decisions (approval_id, decided_by, decision, note)
    VALUES (a.id, who, p_decision, left(coalesce(p_note, ''), 4000))
    ON CONFLICT (approval_id, decided_by) DO NOTHING;
  PERFORM juggernaut.record_event('approval.' || p_decision, p_task::text, NULL,
    jsonb_build_object('gate', a.gate, 'digest', a.digest, 'note', left(coalesce(p_note, ''), 4000)));
  IF p_decision = 'rejected' THEN
    UPDATE public.approvals SET status = 'rejected', decided_at = clock_timestamp() WHERE id = a.id;
    RETURN 'rejected';
  END IF;
  SELECT count(*) INTO have FROM juggernaut.decisions d WHERE d.approval_id = a.id AND d.decision = 'approved';
  IF have < a.need THEN
    RETURN 'more';
  END IF;
  UPDATE public.approvals SET status = 'approved', decided_at = clock_timestamp() WHERE id = a.id;
  RETURN 'approved';
END
$$;

CREATE FUNCTION juggernaut.missing_facts(p_type text, p_facts jsonb) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT coalesce(pg_catalog.array_agg(f ORDER BY f), '{}')
    FROM juggernaut.task_types y CROSS JOIN LATERAL pg_catalog.unnest(y.required_facts) f
   WHERE y.task_type = p_type
     AND CASE f
           WHEN 'merged_sha' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{40}$'
           WHEN 'head_sha' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{40}$'
           WHEN 'base_sha' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{40}$'
           WHEN 'sha' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{40}$'
           WHEN 'passed' THEN coalesce(p_facts ->> f, '') !~ '^[0-9]+$'
           WHEN 'failed' THEN coalesce(p_facts ->> f, '') !~ '^[0-9]+$'
           WHEN 'exit_code' THEN coalesce(p_facts ->> f, '') !~ '^-?[0-9]+$'
           WHEN 'pull_number' THEN coalesce(p_facts ->> f, '') !~ '^[1-9][0-9]*$'
           WHEN 'output_digest' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{64}$'
           WHEN 'metrics_digest' THEN coalesce(p_facts ->> f, '') !~ '^[0-9a-f]{64}$'
           WHEN 'report_id' THEN NOT EXISTS (SELECT FROM public.reports r WHERE r.id::text = p_facts ->> f)
           ELSE coalesce(p_facts -> f, 'null') IN ('null', '""', '{}')
                OR (p_facts -> f = '[]' AND f <> 'recommendation_ids')
         END
$$;
