-- What a batch of claims or completions costs: one look-up per row where there was a walk of the
-- table, no function call per row, and no constraint that repeats what the only writer ensures.
SET LOCAL ROLE juggernaut_owner;

-- Attempts and evidence are written by the functions below alone, with the task, session and type
-- that they just read and locked; tasks and sessions are never deleted. The keys that carry the law
-- stay: evidence belongs to an attempt, and a completed task to evidence of its own attempt.
ALTER TABLE juggernaut.attempts DROP CONSTRAINT attempts_session_id_fkey, DROP CONSTRAINT attempts_task_id_fkey;
ALTER TABLE juggernaut.evidence DROP CONSTRAINT evidence_kind_fkey;
ALTER TABLE juggernaut.evidence ADD CONSTRAINT evidence_of_attempt UNIQUE (task_id, fence, id);
ALTER TABLE public.governance_tasks DROP CONSTRAINT evidence_is_of_this_attempt;
ALTER TABLE juggernaut.evidence DROP CONSTRAINT evidence_id_task_id_fence_key;
DROP INDEX juggernaut.evidence_task;
ALTER TABLE public.governance_tasks ADD CONSTRAINT evidence_is_of_this_attempt
  FOREIGN KEY (id, fence, evidence_id) REFERENCES juggernaut.evidence (task_id, fence, id);

-- A body that is bound when it is made folds into the statement that calls it. The one fact that
-- has to be looked up in a table is judged by missing_facts.
CREATE FUNCTION juggernaut.fact_is_wrong(p_fact text, p_facts jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN CASE p_fact
           WHEN 'merged_sha' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{40}$'
           WHEN 'head_sha' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{40}$'
           WHEN 'base_sha' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{40}$'
           WHEN 'sha' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{40}$'
           WHEN 'passed' THEN coalesce(p_facts ->> p_fact, '') !~ '^[1-9][0-9]*$'
           WHEN 'failed' THEN coalesce(p_facts ->> p_fact, '') <> '0'
           WHEN 'exit_code' THEN coalesce(p_facts ->> p_fact, '') <> '0'
           WHEN 'pull_number' THEN coalesce(p_facts ->> p_fact, '') !~ '^[1-9][0-9]*$'
           WHEN 'output_digest' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{64}$'
           WHEN 'metrics_digest' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{64}$'
           WHEN 'report_id' THEN coalesce(p_facts ->> p_fact, '') !~ '^[1-9][0-9]*$'
           WHEN 'recommendation_ids' THEN coalesce(p_facts -> p_fact, 'null') IN ('null', '""', '{}')
           ELSE coalesce(p_facts -> p_fact, 'null') IN ('null', '""', '{}', '[]')
         END;
CREATE OR REPLACE FUNCTION juggernaut.missing_facts(p_type text, p_facts jsonb) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT coalesce(array_agg(f ORDER BY f), '{}')
    FROM juggernaut.task_types y CROSS JOIN LATERAL unnest(y.required_facts) f
   WHERE y.task_type = p_type
     AND (juggernaut.fact_is_wrong(f, p_facts)
          OR f = 'report_id' AND NOT EXISTS (SELECT FROM public.reports r WHERE r.id::text = p_facts ->> f))
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
  v_taken uuid[];
  got record;
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
         array_agg(l.lane) FILTER (WHERE l.walked_at < v_now - interval '1 second'),
         (SELECT make_interval(secs => y.value::float8) FROM juggernaut.thresholds y WHERE y.name = 'timeout_grace_seconds')
    INTO v_lanes, v_floors, v_walked, v_grace
    FROM public.worker_registry w
    JOIN juggernaut.grants g ON g.worker_type = s.worker_type AND w.capabilities ? g.task_type
    JOIN juggernaut.lanes l ON l.task_type = g.task_type AND l.assignment IN ('', s.worker_type, s.worker_id)
   WHERE w.worker_id = s.worker_id AND w.instance_id = s.id
     AND NOT EXISTS (SELECT FROM public.controls c WHERE c.scope IN
           ('all', 'role:' || s.worker_type, 'worker:' || s.worker_id, 'type:' || l.task_type));
  IF v_lanes IS NULL THEN
    RETURN;
  END IF;
  FOR got IN
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
      FROM head h
     WHERE h.concurrency_key IS NULL OR NOT EXISTS (
             SELECT FROM head k WHERE k.concurrency_key = h.concurrency_key AND (k.claim_key, k.id) < (h.claim_key, h.id))
     ORDER BY h.claim_key, h.id LIMIT p_slots
  ), taken AS (
    UPDATE public.governance_tasks t
       SET status = 'in_progress', ready = false, assigned_worker = s.worker_id, started_at = clock_timestamp(),
           attempts = t.attempts + 1, fence = t.fence + 1, session_id = s.id, lease_login = s.login,
           lease_hash = juggernaut.hash(p.new_secret),
           lease_until = clock_timestamp() + make_interval(secs => t.timeout_seconds) + v_grace, error_message = NULL
      FROM picked p WHERE t.id = p.id
    RETURNING t.*, p.new_secret
  ), booked AS (
    INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login, lease_hash)
      SELECT k.id, k.fence, s.id, s.worker_id, s.login, k.lease_hash FROM taken k
  )
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
                           FROM juggernaut.criteria c WHERE c.task_id = t.id), '[]') END) AS told,
         t.fence, t.new_secret, t.timeout_seconds, t.id
    FROM taken t ORDER BY t.claim_key, t.id
  LOOP
    task := got.told; fence := got.fence; secret := got.new_secret; seconds := got.timeout_seconds;
    RETURN NEXT;
    v_taken := v_taken || got.id;
  END LOOP;
  IF s.waiting AND cardinality(v_taken) = p_slots THEN
    -- It has its hands full; before it sleeps it asks for a hint again. Nobody else writes this row.
    UPDATE juggernaut.sessions x SET waiting = false WHERE x.id = s.id;
  END IF;
  IF v_walked IS NOT NULL AND v_taken IS NOT NULL THEN
    -- The new floor of a lane that was walked from its beginning: the lowest task that was there,
    -- but nothing that a slow commit may still bring. The next walk corrects it.
    UPDATE juggernaut.lanes l
       SET walked_at = v_now, floor_key = least(f.lowest, (extract(epoch FROM v_now) * 1000)::bigint + (q.weight_seconds - 5) * 1000)
      FROM (SELECT t.lane, min(t.claim_key) AS lowest FROM public.governance_tasks t WHERE t.id = ANY (v_taken) GROUP BY 1) f,
           juggernaut.priorities q
     WHERE l.lane = f.lane AND q.priority = l.priority
       AND l.lane = ANY (ARRAY(SELECT x.lane FROM juggernaut.lanes x WHERE x.lane = ANY (v_walked) FOR NO KEY UPDATE SKIP LOCKED));
  END IF;
END
$$;
DROP FUNCTION juggernaut.task_json(public.governance_tasks);

-- Completions that came together, in one transaction. What is entirely in order lands here; of the
-- rest (lease lost, repeated, evidence or a verdict missing) the answer is null, nothing is written,
-- and complete_v1 says why. Rows that were locked are addressed by their place, so that no plan of
-- an earlier day walks a table that has grown. p_items: [{task, fence, secret, kind, facts,
-- verdicts, summary, learning, result}]
CREATE OR REPLACE FUNCTION juggernaut.complete_batch_v1(p_items jsonb) RETURNS TABLE (task uuid, landed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_login text := juggernaut.acting();
  v_good uuid[];
  v_rows tid[];
  v_tries tid[];
  v_judged boolean;
  v_taught boolean;
BEGIN
  IF (SELECT count(*) <> count(DISTINCT x.value ->> 'task') FROM jsonb_array_elements(p_items) x) THEN
    PERFORM juggernaut.refuse('JG001', 'a task stands twice in one batch');
  END IF;
  SELECT array_agg(h.id), array_agg(h.place), array_agg(h.try), bool_or(h.judged), bool_or(h.taught)
    INTO v_good, v_rows, v_tries, v_judged, v_taught
    FROM (
      SELECT t.id, t.place, t.acceptance_criteria IS NOT NULL AS judged, jsonb_typeof(i.learning) = 'object' AS taught,
             (SELECT a.ctid FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.fence = t.fence AND a.ended_as IS NULL) AS try
        FROM (SELECT x.*, y.required_facts
                FROM jsonb_to_recordset(p_items) AS x (task uuid, fence bigint, secret uuid, kind text, facts jsonb, verdicts jsonb, learning jsonb)
                JOIN juggernaut.task_types y ON y.task_type = x.kind
               ORDER BY x.task) i
       CROSS JOIN LATERAL (SELECT g.*, g.ctid AS place FROM public.governance_tasks g WHERE g.id = i.task OFFSET 0 FOR NO KEY UPDATE) t
       WHERE t.status = 'in_progress' AND t.fence = i.fence AND t.lease_hash = juggernaut.hash(i.secret) AND t.lease_login = v_login
         AND t.lease_until > clock_timestamp() AND i.kind = t.task_type
         AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.id = t.session_id AND s.closed_at IS NULL AND s.expires_at > clock_timestamp())
         AND NOT EXISTS (SELECT FROM unnest(i.required_facts) f
                          WHERE juggernaut.fact_is_wrong(f, i.facts)
                             OR f = 'report_id' AND NOT EXISTS (SELECT FROM public.reports r WHERE r.id::text = i.facts ->> f))
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
  IF v_taught THEN
    INSERT INTO public.learnings (task_id, worker_id, category, title, description, impact_score, tags, source, scope)
      SELECT i.task, g.assigned_worker, i.learning ->> 'category', i.learning ->> 'title', i.learning ->> 'description',
             (i.learning ->> 'impact')::numeric, coalesce(i.learning -> 'tags', '[]'), 'attempt', g.repo
        FROM (SELECT x.* FROM public.governance_tasks x WHERE x.ctid = ANY (v_rows) OFFSET 0) g
        JOIN jsonb_to_recordset(p_items) AS i (task uuid, learning jsonb) ON i.task = g.id
       WHERE jsonb_typeof(i.learning) = 'object';
  END IF;
  IF v_good IS NOT NULL THEN
    WITH item AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(p_items) AS i (task uuid, fence bigint, kind text, facts jsonb, summary text, result jsonb)
       WHERE i.task = ANY (v_good)
    ), proof AS (
      INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)
        SELECT i.task, i.fence, i.kind, i.facts, 'verifier', v_login FROM item i RETURNING id, task_id
    ), ended AS (
      UPDATE juggernaut.attempts a SET ended_at = clock_timestamp(), ended_as = 'completed' WHERE a.ctid = ANY (v_tries)
    )
    UPDATE public.governance_tasks g
       SET status = 'completed', completed_at = clock_timestamp(), evidence_id = p.id, completion_evidence = left(i.summary, 60000),
           result = coalesce(nullif(i.result, 'null'), g.result), session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
      FROM proof p JOIN item i ON i.task = p.task_id
     WHERE g.id = p.task_id AND g.ctid = ANY (v_rows);
  END IF;
  RETURN QUERY SELECT (x.value ->> 'task')::uuid, CASE WHEN (x.value ->> 'task')::uuid = ANY (v_good) THEN true END
                 FROM jsonb_array_elements(p_items) x;
END
$$;

-- The same as before, but for the join of old and new rows: by hash, whatever their number, because
-- the plan that was made for a claim of ten is also that of a person's update of a hundred thousand.
CREATE OR REPLACE FUNCTION juggernaut.follow_moves() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_login text := juggernaut.acting();
  v_done uuid[];
  v_types text[];
  v_freed record;
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
             jsonb_build_object('status', m.status, 'fence', m.fence, 'worker', m.assigned_worker)
        FROM moved m
  )
  SELECT array_agg(m.id ORDER BY m.id) INTO v_done FROM moved m WHERE m.status = 'completed';
  IF v_done IS NOT NULL AND EXISTS (SELECT FROM juggernaut.dependencies d WHERE d.needs_id = ANY (v_done) AND NOT d.met) THEN
    -- In one order, so that two workers who free the same dependants do not lock each other out.
    PERFORM FROM public.governance_tasks t
      WHERE t.id = ANY (ARRAY(SELECT d.task_id FROM juggernaut.dependencies d WHERE d.needs_id = ANY (v_done) AND NOT d.met))
      ORDER BY t.id FOR NO KEY UPDATE;
    FOR v_freed IN
      WITH met AS (
        UPDATE juggernaut.dependencies d SET met = true WHERE d.needs_id = ANY (v_done) AND NOT d.met RETURNING d.task_id
      )
      SELECT m.task_id, count(*)::integer AS needs FROM met m GROUP BY m.task_id ORDER BY m.task_id
    LOOP
      UPDATE public.governance_tasks t SET waits = t.waits - v_freed.needs,
             status = CASE WHEN t.status = 'waiting' AND t.waits = v_freed.needs THEN 'pending' ELSE t.status END
       WHERE t.id = v_freed.task_id;
    END LOOP;
  END IF;
  -- One wake-up per statement and type, and only when somebody sleeps. A hint: polling is the truth.
  SELECT array_agg(DISTINCT f.task_type) INTO v_types FROM fresh f WHERE f.ready;
  IF v_types IS NOT NULL AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.waiting AND s.closed_at IS NULL) THEN
    PERFORM pg_notify('juggernaut_work', y.task_type) FROM unnest(v_types) AS y (task_type);
  END IF;
  RETURN NULL;
END
$$;

-- Who acts, and the hash of a secret: bodies that are bound when they are made, so that no search
-- path has a say in them, and that fold into the statement that calls them.
CREATE OR REPLACE FUNCTION juggernaut.acting() RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN coalesce(pg_catalog.current_setting('role', true), 'none') IN ('none', '') THEN session_user::text
            WHEN pg_catalog.pg_has_role(session_user, 'juggernaut_owner', 'MEMBER') THEN pg_catalog.current_setting('role', true)
            ELSE session_user::text END;
CREATE OR REPLACE FUNCTION juggernaut.hash(p_secret uuid) RETURNS bytea
LANGUAGE sql STABLE
RETURN pg_catalog.sha256(pg_catalog.convert_to(p_secret::text, 'UTF8'));

-- The same checks as before, with one look-up instead of six. What only some rows need is asked for
-- those rows: a plan made while the table was small would walk all of it for each row of a bulk insert.
CREATE OR REPLACE FUNCTION juggernaut.guard_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  types text;
  dead uuid;
  known record;
  v_now timestamptz := clock_timestamp();
BEGIN
  SELECT y.risk_floor, f.rank AS floor_rank, r.rank AS risk_rank, q.priority, q.weight_seconds, l.lane INTO known
    FROM (SELECT NEW.task_type AS task_type, NEW.risk_level AS risk_level, coalesce(NEW.assigned_worker, '') AS assignment,
                 CASE NEW.priority WHEN 'normal' THEN 'medium' WHEN 'deferred' THEN 'low' ELSE NEW.priority END AS priority) n
    LEFT JOIN juggernaut.task_types y ON y.task_type = n.task_type
    LEFT JOIN juggernaut.risks f ON f.risk_level = y.risk_floor
    LEFT JOIN juggernaut.risks r ON r.risk_level = n.risk_level
    LEFT JOIN juggernaut.priorities q ON q.priority = n.priority
    LEFT JOIN juggernaut.lanes l ON l.task_type = n.task_type AND l.assignment = n.assignment AND l.priority = n.priority;
  IF known.risk_floor IS NULL THEN
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
  IF known.risk_rank IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('unknown risk_level %L', NEW.risk_level), 'use low, medium, high or critical');
  END IF;
  IF known.priority IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('unknown priority %L', NEW.priority), 'use critical, high, medium or low');
  END IF;
  NEW.priority := known.priority;
  IF known.floor_rank > known.risk_rank THEN
    NEW.risk_level := known.risk_floor;
  END IF;
  NEW.created_by := juggernaut.acting();
  NEW.created_at := v_now;
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
  IF NEW.waits > 0 THEN
    NEW.status := 'waiting'; NEW.ready := false; NEW.due_at := NULL;
    RETURN NEW;
  END IF;
  NEW.status := 'pending';
  NEW.ready := NEW.run_after IS NULL OR NEW.run_after <= v_now;
  NEW.due_at := CASE WHEN NEW.ready THEN NULL ELSE NEW.run_after END;
  NEW.lane := coalesce(known.lane, juggernaut.lane_of(NEW.task_type, NEW.assignment, NEW.priority));
  NEW.claim_key := (extract(epoch FROM greatest(v_now, NEW.run_after)) * 1000)::bigint + known.weight_seconds * 1000;
  RETURN NEW;
END
$$;

-- What follows from new tasks follows once per statement: criteria, dependencies, purse, event, hint.
CREATE FUNCTION juggernaut.follow_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  has record;
BEGIN
  SELECT bool_or(f.acceptance_criteria IS NOT NULL) AS criteria, bool_or(cardinality(f.depends_on) > 0) AS needs,
         bool_or(f.budget_usd IS NOT NULL) AS purse, array_agg(DISTINCT f.task_type) FILTER (WHERE f.ready) AS types,
         count(*) AS tasks
    INTO has FROM fresh f;
  IF has.tasks = 0 THEN
    RETURN NULL;
  END IF;
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
  INSERT INTO juggernaut.events (login, application, kind, subject, before, after)
    SELECT juggernaut.acting(), left(current_setting('application_name', true), 64), 'task.created', f.id::text, NULL,
           jsonb_build_object('title', f.title, 'task_type', f.task_type, 'status', f.status, 'risk_level', f.risk_level)
      FROM fresh f;
  IF has.types IS NOT NULL AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.waiting AND s.closed_at IS NULL) THEN
    PERFORM pg_notify('juggernaut_work', y.task_type) FROM unnest(has.types) AS y (task_type);
  END IF;
  RETURN NULL;
END
$$;
DROP TRIGGER follow_insert ON public.governance_tasks;
DROP TRIGGER announce_insert ON public.governance_tasks;
DROP FUNCTION juggernaut.after_insert();
DROP FUNCTION juggernaut.announce();
CREATE TRIGGER follow_insert AFTER INSERT ON public.governance_tasks REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.follow_new();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER follow_insert;
