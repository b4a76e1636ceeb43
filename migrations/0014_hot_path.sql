-- The hot path: claims and completions in sets, lanes with a remembered start, and no heavy
-- function for a move that the functions of this file make and that its own conditions certify.
SET LOCAL ROLE juggernaut_owner;

-- A lane is a task type, an assignment and a priority, so that within a lane claim keys only grow:
-- what is below its floor was claimed or taken out of the queue. Dead rows of yesterday's work stand
-- there until a vacuum comes, or for ever behind a held snapshot; claims do not walk past them.
ALTER TABLE juggernaut.lanes ADD COLUMN priority text NOT NULL DEFAULT 'medium' REFERENCES juggernaut.priorities;
ALTER TABLE juggernaut.lanes ALTER COLUMN priority DROP DEFAULT;
ALTER TABLE juggernaut.lanes ADD COLUMN floor_key bigint NOT NULL DEFAULT 0;
ALTER TABLE juggernaut.lanes ADD COLUMN walked_at timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE juggernaut.lanes DROP CONSTRAINT lanes_task_type_assignment_key;
ALTER TABLE juggernaut.lanes ADD CONSTRAINT lanes_are_distinct UNIQUE (task_type, assignment, priority);
ALTER TABLE juggernaut.lanes SET (fillfactor = 50);
COMMENT ON COLUMN juggernaut.lanes.floor_key IS 'a hint: claims start here, but once a second one walks the lane from its beginning';

DROP FUNCTION juggernaut.lane_of(text, text);
CREATE FUNCTION juggernaut.lane_of(p_type text, p_assignment text, p_priority text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  found_lane integer;
BEGIN
  SELECT l.lane INTO found_lane FROM juggernaut.lanes l
   WHERE l.task_type = p_type AND l.assignment = coalesce(p_assignment, '') AND l.priority = p_priority;
  IF found_lane IS NULL THEN
    INSERT INTO juggernaut.lanes (task_type, assignment, priority) VALUES (p_type, coalesce(p_assignment, ''), p_priority)
    ON CONFLICT (task_type, assignment, priority) DO UPDATE SET task_type = excluded.task_type
    RETURNING lane INTO found_lane;
  END IF;
  RETURN found_lane;
END
$$;

-- Puts a pending row into the claim order, or into the waiting room until it is due.
CREATE OR REPLACE FUNCTION juggernaut.place(t public.governance_tasks, was_ready boolean) RETURNS public.governance_tasks
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
  t.lane := juggernaut.lane_of(t.task_type, t.assignment, t.priority);
  IF NOT was_ready OR t.claim_key IS NULL THEN
    SELECT (extract(epoch FROM greatest(clock_timestamp(), t.run_after)) * 1000)::bigint + p.weight_seconds * 1000
      INTO t.claim_key FROM juggernaut.priorities p WHERE p.priority = t.priority;
  END IF;
  RETURN t;
END
$$;
-- Rows of before move into their lane: the guard places each again and keeps its claim key.
UPDATE public.governance_tasks SET lane = lane WHERE ready;

-- Without a search_path of its own it is folded into the statement that calls it.
CREATE OR REPLACE FUNCTION juggernaut.hash(p_secret uuid) RETURNS bytea
LANGUAGE sql STABLE
AS $$ SELECT pg_catalog.sha256(pg_catalog.convert_to(p_secret::text, 'UTF8')) $$;

CREATE OR REPLACE FUNCTION juggernaut.task_json(t public.governance_tasks) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
  SELECT jsonb_build_object(
    'id', t.id, 'title', t.title, 'description', t.description, 'task_type', t.task_type, 'priority', t.priority,
    'risk_level', t.risk_level, 'status', t.status, 'goal_id', t.goal_id, 'parent_task_id', t.parent_task_id, 'repo', t.repo,
    'payload', t.payload || jsonb_build_object('accepted_criteria', CASE WHEN t.acceptance_criteria IS NULL THEN '[]' ELSE
        coalesce((SELECT jsonb_agg(c.number) FROM juggernaut.criteria c
                   WHERE c.task_id = t.id AND c.accepted_by IS NOT NULL), '[]') END),
    'result', t.result, 'attempts', t.attempts, 'max_attempts', t.max_attempts, 'timeout_seconds', t.timeout_seconds,
    'budget_usd', t.budget_usd, 'created_by', t.created_by,
    'error_message', CASE WHEN t.fence > 1 THEN
        (SELECT a.error_message FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.ended_as IN ('retry', 'failed', 'expired')
          ORDER BY a.fence DESC LIMIT 1) END,
    'criteria', CASE WHEN t.acceptance_criteria IS NULL THEN '[]' ELSE
        coalesce((SELECT jsonb_agg(jsonb_build_object('number', c.number, 'text', c.text, 'check', c.check_argv) ORDER BY c.number)
                    FROM juggernaut.criteria c WHERE c.task_id = t.id), '[]') END)
$$;

-- The line that claims a task: of the types that an operator granted to this kind of worker, and
-- that it has a handler for (its capabilities; they widen nothing). The index walk is per lane with
-- the lock inside, so it is as short with a million pending rows as with ten; SKIP LOCKED lets
-- claimers pass each other. The planner options keep that walk whatever the statistics say: a plan
-- that was made for an empty table may live on in a session while the table grows.
CREATE OR REPLACE FUNCTION juggernaut.claim_v1(p_session uuid, p_secret uuid, p_slots integer)
RETURNS TABLE (task jsonb, fence bigint, secret uuid, seconds integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  s juggernaut.sessions;
  v_now timestamptz := clock_timestamp();
  v_lanes integer[];
  v_floors bigint[];
  v_walked integer[];
  v_grace interval;
BEGIN
  SELECT * INTO s FROM juggernaut.sessions x
   WHERE x.id = p_session AND x.secret_hash = juggernaut.hash(p_secret) AND x.login = juggernaut.acting()
     AND x.closed_at IS NULL AND x.expires_at > v_now;
  IF s.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', 'this session is over', 'register again');
  END IF;
  IF EXISTS (SELECT FROM public.governance_tasks d WHERE d.due_at <= v_now) THEN
    UPDATE public.governance_tasks t SET due_at = NULL
     WHERE t.id = ANY (ARRAY(SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= v_now
                              ORDER BY d.due_at LIMIT 50 FOR UPDATE SKIP LOCKED));
  END IF;
  SELECT array_agg(l.lane), array_agg(CASE WHEN l.walked_at < v_now - interval '1 second' THEN 0 ELSE l.floor_key END),
         array_agg(l.lane) FILTER (WHERE l.walked_at < v_now - interval '1 second')
    INTO v_lanes, v_floors, v_walked
    FROM public.worker_registry w
    JOIN juggernaut.grants g ON g.worker_type = s.worker_type AND w.capabilities ? g.task_type
    JOIN juggernaut.lanes l ON l.task_type = g.task_type AND l.assignment IN ('', s.worker_type, s.worker_id)
   WHERE w.worker_id = s.worker_id AND w.instance_id = s.id
     AND NOT EXISTS (SELECT FROM public.controls c WHERE c.scope IN
           ('all', 'role:' || s.worker_type, 'worker:' || s.worker_id, 'type:' || l.task_type));
  IF v_lanes IS NULL THEN
    RETURN;
  END IF;
  v_grace := juggernaut.seconds('timeout_grace_seconds');
  RETURN QUERY
  WITH head AS MATERIALIZED (
    SELECT r.id, r.claim_key, r.concurrency_key
      FROM unnest(v_lanes, v_floors) AS v (lane, floor_key)
     CROSS JOIN LATERAL (
       SELECT t.id, t.claim_key, t.concurrency_key FROM public.governance_tasks t
        WHERE t.lane = v.lane AND t.ready AND t.claim_key >= v.floor_key
          AND (t.goal_id IS NULL OR NOT EXISTS (SELECT FROM public.controls c WHERE c.scope = 'goal:' || t.goal_id))
          AND (t.concurrency_key IS NULL OR NOT EXISTS (
                 SELECT FROM public.governance_tasks h WHERE h.concurrency_key = t.concurrency_key AND h.lease_login IS NOT NULL))
        ORDER BY t.claim_key, t.id LIMIT p_slots FOR UPDATE SKIP LOCKED) r
  ), picked AS MATERIALIZED (
    SELECT h.id, gen_random_uuid() AS new_secret
      FROM (SELECT *, row_number() OVER (PARTITION BY coalesce(k.concurrency_key, k.id::text) ORDER BY k.claim_key, k.id) AS place FROM head k) h
     WHERE h.place = 1 ORDER BY h.claim_key, h.id LIMIT p_slots
  ), taken AS (
    UPDATE public.governance_tasks t
       SET status = 'in_progress', ready = false, assigned_worker = s.worker_id, started_at = clock_timestamp(),
           attempts = t.attempts + 1, fence = t.fence + 1, session_id = s.id, lease_login = s.login,
           lease_hash = juggernaut.hash(p.new_secret),
           lease_until = clock_timestamp() + make_interval(secs => t.timeout_seconds) + v_grace, error_message = NULL
      FROM picked p WHERE t.id = p.id
    RETURNING t.id, t.fence, t.lease_hash, t.lane, t.claim_key, t.timeout_seconds, p.new_secret, juggernaut.task_json(t) AS told
  ), booked AS (
    INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login, lease_hash)
      SELECT k.id, k.fence, s.id, s.worker_id, s.login, k.lease_hash FROM taken k
  ), moved AS (
    -- The new floor of a lane that was walked from its beginning: the lowest task that was there,
    -- but nothing that a slow commit may still bring. The next walk corrects it.
    UPDATE juggernaut.lanes l
       SET walked_at = v_now, floor_key = least(f.lowest, (extract(epoch FROM v_now) * 1000)::bigint + (q.weight_seconds - 5) * 1000)
      FROM (SELECT k.lane, min(k.claim_key) AS lowest FROM taken k GROUP BY 1) f, juggernaut.priorities q
     WHERE l.lane = f.lane AND q.priority = l.priority
       AND l.lane = ANY (ARRAY(SELECT x.lane FROM juggernaut.lanes x WHERE x.lane = ANY (v_walked) FOR NO KEY UPDATE SKIP LOCKED))
  )
  SELECT k.told, k.fence, k.new_secret, k.timeout_seconds FROM taken k ORDER BY k.claim_key, k.id;
END
$$;

-- The task row if (fence, secret, login, live session) hold it at this moment, else null; locked.
CREATE OR REPLACE FUNCTION juggernaut.held(p_task uuid, p_fence bigint, p_secret uuid) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
BEGIN
  SELECT * INTO t FROM public.governance_tasks x WHERE x.id = p_task FOR NO KEY UPDATE;
  IF t.id IS NULL OR p_secret IS NULL OR t.lease_hash IS NULL OR t.status <> 'in_progress' OR t.fence <> p_fence OR t.lease_hash IS DISTINCT FROM juggernaut.hash(p_secret)
     OR t.lease_login <> juggernaut.acting() OR t.lease_until <= clock_timestamp()
     OR NOT EXISTS (SELECT FROM juggernaut.sessions s WHERE s.id = t.session_id AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()) THEN
    RETURN NULL;
  END IF;
  RETURN t;
END
$$;

-- Completions that came together, in one transaction. What is entirely in order lands here; of the
-- rest (lease lost, repeated, evidence or a verdict missing) the answer is null, nothing is written,
-- and complete_v1 says why. p_items: [{task, fence, secret, kind, facts, verdicts, summary, learning, result}]
CREATE FUNCTION juggernaut.complete_batch_v1(p_items jsonb) RETURNS TABLE (task uuid, landed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_login text := juggernaut.acting();
  v_good uuid[];
  v_judged boolean;
BEGIN
  IF (SELECT count(*) <> count(DISTINCT x.value ->> 'task') FROM jsonb_array_elements(p_items) x) THEN
    PERFORM juggernaut.refuse('JG001', 'a task stands twice in one batch');
  END IF;
  SELECT array_agg(h.id), bool_or(h.judged) INTO v_good, v_judged
    FROM (
      SELECT t.id, t.acceptance_criteria IS NOT NULL AS judged
        FROM (SELECT * FROM jsonb_to_recordset(p_items) AS x (task uuid, fence bigint, secret uuid, kind text, facts jsonb, verdicts jsonb)
               ORDER BY x.task) i
       CROSS JOIN LATERAL (SELECT g.* FROM public.governance_tasks g WHERE g.id = i.task OFFSET 0 FOR NO KEY UPDATE) t
       WHERE t.status = 'in_progress' AND t.fence = i.fence AND t.lease_hash = juggernaut.hash(i.secret) AND t.lease_login = v_login
         AND t.lease_until > clock_timestamp() AND i.kind = t.task_type
         AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.id = t.session_id AND s.closed_at IS NULL AND s.expires_at > clock_timestamp())
         AND cardinality(juggernaut.missing_facts(t.task_type, i.facts)) = 0
         AND (t.acceptance_criteria IS NULL OR NOT EXISTS (
               SELECT FROM juggernaut.criteria c LEFT JOIN jsonb_array_elements(i.verdicts) v ON (v.value ->> 'number')::integer = c.number
                WHERE c.task_id = t.id AND coalesce(v.value ->> 'verdict', 'unknown') <> 'met'
                  AND (c.accepted_by IS NULL OR v.value ->> 'verdict' = 'unmet')))
    ) h;
  IF v_judged THEN
    INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source, facts)
      SELECT i.task, i.fence, c.number, 'met',
             CASE WHEN v.value ->> 'verdict' IS DISTINCT FROM 'met' THEN 'person' ELSE 'verifier' END,
             coalesce(v.value -> 'facts', '{}') || CASE WHEN c.accepted_by IS NULL THEN '{}' ELSE jsonb_build_object('accepted_by', c.accepted_by, 'note', c.accepted_note) END
        FROM jsonb_to_recordset(p_items) AS i (task uuid, fence bigint, verdicts jsonb)
       CROSS JOIN LATERAL (SELECT * FROM juggernaut.criteria k WHERE k.task_id = i.task OFFSET 0) c
        LEFT JOIN LATERAL jsonb_array_elements(i.verdicts) v ON (v.value ->> 'number')::integer = c.number
       WHERE i.task = ANY (v_good);
  END IF;
  IF v_good IS NOT NULL THEN
    WITH item AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(p_items) AS i (task uuid, fence bigint, kind text, facts jsonb, summary text, learning jsonb, result jsonb)
       WHERE i.task = ANY (v_good)
    ), proof AS (
      INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)
        SELECT i.task, i.fence, i.kind, i.facts, 'verifier', v_login FROM item i RETURNING id, task_id
    ), ended AS (
      UPDATE juggernaut.attempts a SET ended_at = clock_timestamp(), ended_as = 'completed'
        FROM item i WHERE a.task_id = i.task AND a.fence = i.fence AND a.ended_as IS NULL
    ), learned AS (
      INSERT INTO public.learnings (task_id, worker_id, category, title, description, impact_score, tags, source, scope)
        SELECT i.task, g.assigned_worker, i.learning ->> 'category', i.learning ->> 'title', i.learning ->> 'description',
               (i.learning ->> 'impact')::numeric, coalesce(i.learning -> 'tags', '[]'), 'attempt', g.repo
          FROM item i JOIN public.governance_tasks g ON g.id = i.task WHERE jsonb_typeof(i.learning) = 'object'
    )
    UPDATE public.governance_tasks g
       SET status = 'completed', completed_at = clock_timestamp(), evidence_id = p.id, completion_evidence = left(i.summary, 60000),
           result = coalesce(nullif(i.result, 'null'), g.result), session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
      FROM proof p JOIN item i ON i.task = p.task_id
     WHERE g.id = p.task_id;
  END IF;
  RETURN QUERY SELECT (x.value ->> 'task')::uuid, CASE WHEN (x.value ->> 'task')::uuid = ANY (v_good) THEN true END
                 FROM jsonb_array_elements(p_items) x;
END
$$;
GRANT EXECUTE ON FUNCTION juggernaut.complete_batch_v1(jsonb) TO juggernaut_worker;

-- Two moves are certified by their own shape, and need no function to look at them: a claim and a
-- completion as the functions of this file write them. No run-time login may write fence or lease,
-- so no typed statement has this shape. What else guard_update would refuse or correct is ruled out
-- by comparing: nothing that it looks at has changed. Everything else goes through guard_update.
CREATE FUNCTION juggernaut.guard_verdicts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM juggernaut.criteria c LEFT JOIN juggernaut.verdicts v
               ON v.task_id = c.task_id AND v.number = c.number AND v.fence = NEW.fence
              WHERE c.task_id = NEW.id AND v.verdict IS DISTINCT FROM 'met') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has a criterion without the verdict "met"', NEW.id));
  END IF;
  RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER guard_update BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN ((
    ((OLD.status = 'pending' AND OLD.ready AND NEW.status = 'in_progress' AND NOT NEW.ready AND OLD.lease_login IS NULL
      AND NEW.fence = OLD.fence + 1 AND NEW.attempts = OLD.attempts + 1 AND NEW.lease_hash IS NOT NULL
      AND NEW.evidence_id IS NOT DISTINCT FROM OLD.evidence_id AND NEW.completed_at IS NOT DISTINCT FROM OLD.completed_at)
     OR
     (OLD.status = 'in_progress' AND NOT OLD.ready AND NEW.status = 'completed' AND NOT NEW.ready AND OLD.lease_hash IS NOT NULL
      AND NEW.lease_login IS NULL AND NEW.lease_hash IS NULL AND NEW.session_id IS NULL AND NEW.fence = OLD.fence
      AND NEW.attempts = OLD.attempts AND NEW.evidence_id IS NOT NULL AND NEW.assigned_worker = OLD.assigned_worker))
    AND (NEW.id, NEW.created_by, NEW.created_at, NEW.depends_on, NEW.waits, NEW.title, NEW.description, NEW.task_type,
         NEW.acceptance_criteria, NEW.payload, NEW.repo, NEW.priority, NEW.risk_level, NEW.assignment)
        IS NOT DISTINCT FROM
        (OLD.id, OLD.created_by, OLD.created_at, OLD.depends_on, OLD.waits, OLD.title, OLD.description, OLD.task_type,
         OLD.acceptance_criteria, OLD.payload, OLD.repo, OLD.priority, OLD.risk_level, OLD.assignment)
  ) IS NOT TRUE)
  EXECUTE FUNCTION juggernaut.guard_update();
CREATE TRIGGER guard_verdicts BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN (OLD.status = 'in_progress' AND NEW.status = 'completed' AND NEW.acceptance_criteria IS NOT NULL)
  EXECUTE FUNCTION juggernaut.guard_verdicts();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_update;
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_verdicts;

-- What follows from a claim or a completion of the daemon's functions follows once per statement:
-- the events, and the dependants that were freed. Of every other move it follows per row.
CREATE OR REPLACE TRIGGER follow_update AFTER UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN ((OLD.status IS DISTINCT FROM NEW.status OR OLD.acceptance_criteria IS DISTINCT FROM NEW.acceptance_criteria)
        AND NOT (OLD.status = 'pending' AND NEW.status = 'in_progress' AND NEW.lease_hash IS NOT NULL
                 AND OLD.acceptance_criteria IS NOT DISTINCT FROM NEW.acceptance_criteria)
        AND NOT (OLD.status = 'in_progress' AND NEW.status = 'completed' AND OLD.lease_hash IS NOT NULL
                 AND OLD.acceptance_criteria IS NOT DISTINCT FROM NEW.acceptance_criteria))
  EXECUTE FUNCTION juggernaut.after_update();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER follow_update;

CREATE FUNCTION juggernaut.follow_moves() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_login text := juggernaut.acting();
  v_done uuid[];
  v_types text[];
BEGIN
  -- Old and new version of a row stand side by side in the two tables of the same statement.
  WITH moved AS MATERIALIZED (
    SELECT n.id, o.status AS was, o.fence AS was_fence, n.status, n.fence, n.assigned_worker
      FROM before o JOIN fresh n USING (id)
     WHERE (o.status = 'pending' AND n.status = 'in_progress' AND n.lease_hash IS NOT NULL
            OR o.status = 'in_progress' AND n.status = 'completed' AND o.lease_hash IS NOT NULL)
       AND o.acceptance_criteria IS NOT DISTINCT FROM n.acceptance_criteria
  ), told AS (
    INSERT INTO juggernaut.events (login, application, kind, subject, before, after)
      SELECT v_login, left(current_setting('application_name', true), 64), 'task.' || m.status, m.id::text,
             jsonb_build_object('status', m.was, 'fence', m.was_fence),
             jsonb_strip_nulls(jsonb_build_object('status', m.status, 'fence', m.fence, 'worker', m.assigned_worker))
        FROM moved m
  )
  SELECT array_agg(m.id ORDER BY m.id) INTO v_done FROM moved m WHERE m.status = 'completed';
  IF v_done IS NOT NULL AND EXISTS (SELECT FROM juggernaut.dependencies d WHERE d.needs_id = ANY (v_done) AND NOT d.met) THEN
    -- In one order, so that two workers who free the same dependants do not lock each other out.
    PERFORM FROM public.governance_tasks t
      WHERE t.id = ANY (ARRAY(SELECT d.task_id FROM juggernaut.dependencies d WHERE d.needs_id = ANY (v_done) AND NOT d.met))
      ORDER BY t.id FOR NO KEY UPDATE;
    WITH met AS (
      UPDATE juggernaut.dependencies d SET met = true WHERE d.needs_id = ANY (v_done) AND NOT d.met RETURNING d.task_id
    ), freed AS (
      SELECT m.task_id, count(*)::integer AS needs FROM met m GROUP BY m.task_id
    )
    UPDATE public.governance_tasks t SET waits = t.waits - f.needs,
           status = CASE WHEN t.status = 'waiting' AND t.waits = f.needs THEN 'pending' ELSE t.status END
      FROM freed f WHERE t.id = f.task_id;
  END IF;
  -- One wake-up per statement and type, and only when somebody sleeps. A hint: polling is the truth.
  SELECT array_agg(DISTINCT f.task_type) INTO v_types FROM fresh f WHERE f.ready;
  IF v_types IS NOT NULL AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.waiting AND s.closed_at IS NULL) THEN
    PERFORM pg_notify('juggernaut_work', y.task_type) FROM unnest(v_types) AS y (task_type);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER announce_update AFTER UPDATE ON public.governance_tasks REFERENCING OLD TABLE AS before NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.follow_moves();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER announce_update;

-- The same checks as before, in an order that costs little: a row without needs asks for none. The
-- look-ups over governance_tasks run only for rows that need them, because a plan made while the
-- table was small walks all of it for each row of a bulk insert.
CREATE OR REPLACE FUNCTION juggernaut.guard_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  types text;
  dead uuid;
  v_floor text;
BEGIN
  SELECT y.risk_floor INTO v_floor FROM juggernaut.task_types y WHERE y.task_type = NEW.task_type;
  IF v_floor IS NULL THEN
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
  IF NOT EXISTS (SELECT FROM juggernaut.risks r WHERE r.risk_level = NEW.risk_level) THEN
    PERFORM juggernaut.refuse('JG001', format('unknown risk_level %L', NEW.risk_level), 'use low, medium, high or critical');
  END IF;
  NEW.priority := juggernaut.normal_priority(NEW.priority);
  IF NEW.risk_level <> v_floor THEN
    NEW.risk_level := juggernaut.higher_risk(NEW.risk_level, v_floor);
  END IF;
  NEW.created_by := juggernaut.acting();
  NEW.created_at := clock_timestamp();
  NEW.assignment := NEW.assigned_worker;
  NEW.fence := 0; NEW.attempts := 0; NEW.evidence_id := NULL; NEW.completed_at := NULL;
  NEW.approved_by := NULL; NEW.approved_at := NULL; NEW.started_at := NULL;
  NEW.session_id := NULL; NEW.lease_login := NULL; NEW.lease_hash := NULL; NEW.lease_until := NULL;
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
  END IF;
  NEW.status := CASE WHEN NEW.waits > 0 THEN 'waiting' ELSE 'pending' END;
  RETURN juggernaut.place(NEW, false);
END
$$;
