-- What a claim of one task pays, most of all one that finds its code and rows cold: one statement
-- looks up who asks and what it may take, one takes; events are written by the statement that claims
-- or completes, and no condition that only other moves need is read with it.
SET LOCAL ROLE juggernaut_owner;

-- A lane repeats the kinds of worker that are granted its type. Who makes a lane and who grants wait
-- for each other at the row of the type.
ALTER TABLE juggernaut.lanes ADD COLUMN granted text[] NOT NULL DEFAULT '{}';
UPDATE juggernaut.lanes l SET granted = ARRAY(SELECT g.worker_type FROM juggernaut.grants g WHERE g.task_type = l.task_type ORDER BY 1);
CREATE OR REPLACE FUNCTION juggernaut.fill_lane() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  SELECT y.risk_floor, q.weight_seconds INTO NEW.risk_floor, NEW.weight_seconds
    FROM juggernaut.task_types y, juggernaut.priorities q
   WHERE y.task_type = NEW.task_type AND q.priority = NEW.priority FOR SHARE;
  NEW.granted := ARRAY(SELECT g.worker_type FROM juggernaut.grants g WHERE g.task_type = NEW.task_type ORDER BY 1);
  RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER fill_lane BEFORE INSERT OR UPDATE OF task_type, assignment, priority, risk_floor, weight_seconds, granted
  ON juggernaut.lanes FOR EACH ROW EXECUTE FUNCTION juggernaut.fill_lane();
ALTER TABLE juggernaut.lanes ENABLE ALWAYS TRIGGER fill_lane;
CREATE FUNCTION juggernaut.share_grants() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_types text[];
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    v_types := ARRAY(SELECT y.task_type FROM juggernaut.task_types y);
  ELSE
    v_types := ARRAY[CASE WHEN TG_OP <> 'INSERT' THEN OLD.task_type END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.task_type END];
  END IF;
  PERFORM FROM juggernaut.task_types y WHERE y.task_type = ANY (v_types) ORDER BY y.task_type FOR NO KEY UPDATE;
  UPDATE juggernaut.lanes l SET granted = l.granted WHERE l.task_type = ANY (v_types); -- fill_lane looks it up
  RETURN NULL;
END
$$;
CREATE TRIGGER share_grants AFTER INSERT OR DELETE OR UPDATE ON juggernaut.grants FOR EACH ROW EXECUTE FUNCTION juggernaut.share_grants();
CREATE TRIGGER share_no_grants AFTER TRUNCATE ON juggernaut.grants FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.share_grants();
ALTER TABLE juggernaut.grants ENABLE ALWAYS TRIGGER share_grants;
ALTER TABLE juggernaut.grants ENABLE ALWAYS TRIGGER share_no_grants;

-- A session repeats what its worker said that it can do, and nothing once another start of that
-- worker took its place.
ALTER TABLE juggernaut.sessions ADD COLUMN handles text[] NOT NULL DEFAULT '{}';
CREATE FUNCTION juggernaut.handles_of(p_capabilities jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN jsonb_typeof(p_capabilities) = 'array'
            THEN ARRAY(SELECT DISTINCT c.value #>> '{}' FROM jsonb_array_elements(p_capabilities) c WHERE jsonb_typeof(c.value) = 'string') ELSE '{}' END;
UPDATE juggernaut.sessions s SET handles = juggernaut.handles_of(w.capabilities) FROM public.worker_registry w WHERE w.instance_id = s.id;
CREATE FUNCTION juggernaut.share_handles() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE' OR (OLD.instance_id, OLD.worker_id) IS DISTINCT FROM (NEW.instance_id, NEW.worker_id)) THEN
    UPDATE juggernaut.sessions SET handles = '{}' WHERE id = OLD.instance_id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    UPDATE juggernaut.sessions SET handles = juggernaut.handles_of(NEW.capabilities) WHERE id = NEW.instance_id AND worker_id = NEW.worker_id;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER share_handles AFTER INSERT OR DELETE OR UPDATE OF worker_id, instance_id, capabilities ON public.worker_registry
  FOR EACH ROW EXECUTE FUNCTION juggernaut.share_handles();
ALTER TABLE public.worker_registry ENABLE ALWAYS TRIGGER share_handles;

CREATE OR REPLACE FUNCTION juggernaut.open_session_v1(p_worker text, p_type text, p_meta jsonb)
RETURNS TABLE (session uuid, secret uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_session uuid := gen_random_uuid();
  v_secret uuid := gen_random_uuid();
BEGIN
  -- In the order of a heartbeat: the session before the registry, whose trigger ends the earlier start.
  -- Only one's own: a stranger's is refused below, and its heartbeat must not wait for that.
  PERFORM FROM juggernaut.sessions s JOIN public.worker_registry w ON w.instance_id = s.id
    WHERE w.worker_id = p_worker AND w.login = juggernaut.acting() AND s.login = juggernaut.acting() FOR NO KEY UPDATE OF s;
  INSERT INTO juggernaut.sessions (id, worker_id, worker_type, login, secret_hash, expires_at)
    VALUES (v_session, p_worker, p_type, juggernaut.acting(), juggernaut.hash(v_secret), clock_timestamp() + juggernaut.seconds('session_seconds'));
  INSERT INTO public.worker_registry (worker_id, worker_type, status, capabilities, version, host, pid, instance_id, metadata)
    VALUES (p_worker, p_type, 'active', coalesce(p_meta -> 'capabilities', '[]'), p_meta ->> 'version', p_meta ->> 'host',
            (p_meta ->> 'pid')::integer, v_session, coalesce(p_meta -> 'metadata', '{}'))
    ON CONFLICT (worker_id) DO UPDATE SET worker_type = excluded.worker_type, status = 'active', capabilities = excluded.capabilities,
      version = excluded.version, host = excluded.host, pid = excluded.pid, instance_id = excluded.instance_id,
      metadata = excluded.metadata, started_at = clock_timestamp(), current_task_id = NULL;
  RETURN QUERY SELECT v_session, v_secret;
END
$$;

-- An attempt that runs is found by its task; only ended ones are looked up by when.
ALTER TABLE juggernaut.attempts DROP CONSTRAINT attempts_ended_as_check; -- only functions write it, each a word of its own
DROP INDEX juggernaut.attempts_ended;
CREATE INDEX attempts_ended ON juggernaut.attempts (ended_at) WHERE ended_at IS NOT NULL;

-- A snapshot of before does not know what was revoked, paused or ended since.
CREATE FUNCTION juggernaut.refuse_old_snapshot() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.refuse('JG001', format('at %s a transaction may look, and not write: it would decide by what was', current_setting('transaction_isolation')),
                            'BEGIN ISOLATION LEVEL READ COMMITTED');
END
$$;
REVOKE ALL ON FUNCTION juggernaut.refuse_old_snapshot() FROM PUBLIC;

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
  s record;
  v_now timestamptz := clock_timestamp();
  v_taken integer := 0;
BEGIN
  IF p_slots IS NULL OR p_slots < 1 OR current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse('JG001', 'a claim asks for at least one task') WHERE p_slots IS NULL OR p_slots < 1;
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  FOR look IN 1 .. 2 LOOP
    SELECT x.id, x.worker_id, x.login, x.waiting, l.lanes, l.floors, l.walked, p.paused,
           (SELECT make_interval(secs => y.value::float8) FROM juggernaut.thresholds y WHERE y.name = 'timeout_grace_seconds') AS grace
      INTO s
      FROM juggernaut.sessions x CROSS JOIN (SELECT ARRAY(SELECT c.scope::text FROM public.controls c) AS paused OFFSET 0) p CROSS JOIN LATERAL (
        SELECT array_agg(l.lane) AS lanes, array_agg(CASE WHEN l.walked_at < v_now - interval '1 second' THEN 0 ELSE l.floor_key END) AS floors,
               array_agg(l.lane) FILTER (WHERE l.walked_at < v_now - interval '1 second') AS walked
          FROM juggernaut.lanes l
         WHERE l.task_type = ANY (x.handles) AND l.assignment IN ('', x.worker_type, x.worker_id) AND x.worker_type = ANY (l.granted)
           AND NOT ARRAY['all', 'role:' || x.worker_type, 'worker:' || x.worker_id, 'type:' || l.task_type]
                   && p.paused) l
     WHERE x.id = p_session AND x.secret_hash = juggernaut.hash(p_secret) AND x.login = juggernaut.acting()
       AND x.closed_at IS NULL AND x.expires_at > v_now;
    IF s.id IS NULL THEN
      PERFORM juggernaut.refuse('JG003', 'this session is over', 'register again');
    END IF;
    IF s.lanes IS NOT NULL THEN
      RETURN QUERY
      WITH head AS MATERIALIZED (
        SELECT r.id, r.claim_key, r.concurrency_key
          FROM unnest(s.lanes, s.floors) AS v (lane, floor_key)
         CROSS JOIN LATERAL (
           SELECT t.id, t.claim_key, t.concurrency_key FROM public.governance_tasks t
            WHERE t.lane = v.lane AND t.ready AND t.claim_key >= v.floor_key AND (t.goal_id IS NULL OR 'goal:' || t.goal_id <> ALL (s.paused))
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
               lease_until = clock_timestamp() + make_interval(secs => t.timeout_seconds) + s.grace, error_message = NULL
          FROM picked p WHERE t.id = p.id
        RETURNING t.id, t.fence, t.lease_hash, t.claim_key, t.timeout_seconds, p.new_secret, jsonb_build_object(
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
                               FROM juggernaut.criteria c WHERE c.task_id = t.id), '[]') END) AS told
      ), booked AS (
        INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login, lease_hash)
          SELECT k.id, k.fence, s.id, s.worker_id, s.login, k.lease_hash FROM taken k
      ), noted AS (
        INSERT INTO juggernaut.events (login, application, kind, subject, before, after)
          SELECT s.login, left(current_setting('application_name', true), 64), 'task.in_progress', k.id::text,
                 jsonb_build_object('status', 'pending', 'fence', k.fence - 1),
                 jsonb_build_object('status', 'in_progress', 'fence', k.fence, 'worker', s.worker_id)
            FROM taken k
      )
      SELECT k.told, k.fence, k.new_secret, k.timeout_seconds FROM taken k ORDER BY k.claim_key, k.id;
      GET DIAGNOSTICS v_taken = ROW_COUNT;
    END IF;
    -- What became due is looked for by whoever finds nothing else, by one claim in twenty, and by the sweep.
    EXIT WHEN look = 2 OR (v_taken > 0 AND random() > 0.05)
           OR NOT EXISTS (SELECT FROM public.governance_tasks d WHERE d.due_at <= v_now);
    UPDATE public.governance_tasks t SET due_at = NULL
     WHERE t.id = ANY (ARRAY(SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= v_now
                              ORDER BY d.due_at LIMIT 50 FOR UPDATE SKIP LOCKED));
    EXIT WHEN v_taken > 0;
  END LOOP;
  IF v_taken < p_slots AND random() > 0.01 THEN
    RETURN; -- no lane has more, so nobody is in a hurry; where many take the last one, one in a hundred looks after the floor
  END IF;
  IF s.waiting AND v_taken = p_slots THEN
    -- It has its hands full; before it sleeps it asks for a hint again. Nobody else writes this row.
    UPDATE juggernaut.sessions x SET waiting = false WHERE x.id = s.id;
  END IF;
  IF s.walked IS NOT NULL AND v_taken > 0 THEN
    -- The new floor of a lane that was walked from its beginning: the lowest task that is left in it,
    -- but nothing that a slow commit may still bring. The next walk corrects it.
    UPDATE juggernaut.lanes l
       SET walked_at = v_now,
           floor_key = least((SELECT t.claim_key FROM public.governance_tasks t WHERE t.lane = l.lane AND t.ready ORDER BY t.claim_key, t.id LIMIT 1),
                             (extract(epoch FROM v_now) * 1000)::bigint + (l.weight_seconds - 5) * 1000)
     WHERE l.lane = ANY (ARRAY(SELECT x.lane FROM juggernaut.lanes x WHERE x.lane = ANY (s.walked) FOR NO KEY UPDATE SKIP LOCKED));
  END IF;
END
$$;

-- What a completion frees. In one order, so that two workers who free the same dependants do not lock each other out.
CREATE FUNCTION juggernaut.free_dependants(p_done uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
  v_freed record;
BEGIN
  PERFORM FROM public.governance_tasks t
    WHERE t.id = ANY (ARRAY(SELECT d.task_id FROM juggernaut.dependencies d WHERE d.needs_id = ANY (p_done) AND NOT d.met))
    ORDER BY t.id FOR NO KEY UPDATE;
  FOR v_freed IN
    WITH met AS (
      UPDATE juggernaut.dependencies d SET met = true WHERE d.needs_id = ANY (p_done) AND NOT d.met RETURNING d.task_id
    )
    SELECT m.task_id, count(*)::integer AS needs FROM met m GROUP BY m.task_id ORDER BY m.task_id
  LOOP
    UPDATE public.governance_tasks t SET waits = t.waits - v_freed.needs,
           status = CASE WHEN t.status = 'waiting' AND t.waits = v_freed.needs THEN 'pending' ELSE t.status END
     WHERE t.id = v_freed.task_id;
  END LOOP;
END
$$;

-- The same as before, and the events and dependants of what completed.
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
  IF (SELECT count(*) <> count(DISTINCT (x.value ->> 'task')::uuid) FROM jsonb_array_elements(p_items) x) THEN
    PERFORM juggernaut.refuse('JG001', 'a task stands twice in one batch');
  END IF;
  SELECT array_agg(h.id), array_agg(h.place), array_agg(h.try), bool_or(h.judged), bool_or(h.taught)
    INTO v_good, v_rows, v_tries, v_judged, v_taught
    FROM (
      SELECT t.id, t.place, t.acceptance_criteria IS NOT NULL AS judged, jsonb_typeof(i.learning) = 'object' AS taught,
             (SELECT a.ctid FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.fence = t.fence AND a.ended_as IS NULL) AS try
        FROM (SELECT x.*, y.required_facts
                FROM jsonb_to_recordset(p_items) AS x (task uuid, fence bigint, secret uuid, kind text, facts jsonb, verdicts jsonb, learning jsonb, result jsonb)
                JOIN juggernaut.task_types y ON y.task_type = x.kind AND coalesce(octet_length(x.result::text), 0) <= 1048576
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
    ), done AS (
      UPDATE public.governance_tasks g
         SET status = 'completed', completed_at = clock_timestamp(), evidence_id = p.id, completion_evidence = left(i.summary, 60000),
             result = coalesce(nullif(i.result, 'null'), g.result), session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
        FROM proof p JOIN item i ON i.task = p.task_id
       WHERE g.id = p.task_id AND g.ctid = ANY (v_rows)
      RETURNING g.id, g.status, g.fence, g.assigned_worker
    )
    INSERT INTO juggernaut.events (login, application, kind, subject, before, after)
      SELECT v_login, left(current_setting('application_name', true), 64), 'task.completed', d.id::text,
             jsonb_build_object('status', 'in_progress', 'fence', d.fence),
             jsonb_build_object('status', d.status, 'fence', d.fence, 'worker', d.assigned_worker)
        FROM done d;
    IF EXISTS (SELECT FROM juggernaut.dependencies d WHERE d.needs_id = ANY (v_good) AND NOT d.met) THEN
      PERFORM juggernaut.free_dependants(v_good);
    END IF;
  END IF;
  RETURN QUERY SELECT (x.value ->> 'task')::uuid, CASE WHEN (x.value ->> 'task')::uuid = ANY (v_good) THEN true END
                 FROM jsonb_array_elements(p_items) x;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.complete_v1(p_task uuid, p_fence bigint, p_secret uuid, p_kind text, p_facts jsonb, p_verdicts jsonb,
                                       p_summary text, p_learning jsonb, p_result jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  missing text[];
  open_criterion record;
  v_evidence bigint;
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) = 'completed', false);
  END IF;
  missing := juggernaut.missing_facts(t.task_type, p_facts);
  IF p_kind <> t.task_type OR cardinality(missing) > 0 THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for a %s task lacks or has in the wrong form: %s', t.task_type, array_to_string(missing, ', ')));
  END IF;
  IF octet_length(p_result::text) > 1048576 THEN
    PERFORM juggernaut.refuse('JG001', format('result has %s bytes as text, and may have 1048576', octet_length(p_result::text)));
  END IF;
  INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source, facts)
    SELECT t.id, t.fence, c.number,
           CASE WHEN v.value ->> 'verdict' = 'unmet' THEN 'unmet' WHEN c.accepted_by IS NOT NULL THEN 'met' ELSE coalesce(v.value ->> 'verdict', 'unknown') END,
           CASE WHEN v.value ->> 'verdict' IS DISTINCT FROM 'met' AND c.accepted_by IS NOT NULL THEN 'person' ELSE 'verifier' END,
           coalesce(v.value -> 'facts', '{}') || CASE WHEN c.accepted_by IS NULL THEN '{}' ELSE jsonb_build_object('accepted_by', c.accepted_by, 'note', c.accepted_note) END
      FROM juggernaut.criteria c
      LEFT JOIN jsonb_array_elements(p_verdicts) v ON (v.value ->> 'number')::integer = c.number
     WHERE c.task_id = t.id;
  SELECT v.number, v.verdict INTO open_criterion FROM juggernaut.verdicts v
   WHERE v.task_id = t.id AND v.fence = t.fence AND v.verdict <> 'met' ORDER BY v.number LIMIT 1;
  IF open_criterion.number IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('criterion %s is %s', open_criterion.number, open_criterion.verdict),
                              format('a person may: SELECT accept_criterion(%L, %s, ''why'')', t.id, open_criterion.number));
  END IF;
  INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)
    VALUES (t.id, t.fence, p_kind, p_facts, 'verifier', juggernaut.acting()) RETURNING id INTO v_evidence;
  IF p_learning IS NOT NULL THEN
    INSERT INTO public.learnings (task_id, worker_id, category, title, description, impact_score, tags, source, scope)
      VALUES (t.id, t.assigned_worker, p_learning ->> 'category', p_learning ->> 'title', p_learning ->> 'description',
              (p_learning ->> 'impact')::numeric, coalesce(p_learning -> 'tags', '[]'), 'attempt', t.repo);
  END IF;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'completed', NULL, NULL);
  UPDATE public.governance_tasks g SET status = 'completed', completed_at = clock_timestamp(), evidence_id = v_evidence,
         completion_evidence = left(p_summary, 60000), result = coalesce(p_result, g.result),
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  PERFORM juggernaut.record_event('task.completed', t.id::text, jsonb_build_object('status', t.status, 'fence', t.fence),
                                  jsonb_build_object('status', 'completed', 'fence', t.fence, 'worker', t.assigned_worker));
  IF EXISTS (SELECT FROM juggernaut.dependencies d WHERE d.needs_id = t.id AND NOT d.met) THEN
    PERFORM juggernaut.free_dependants(ARRAY[t.id]);
  END IF;
  RETURN true;
END
$$;

-- Both moves of the daemon's functions tell and free for themselves: nothing keeps copies of rows for
-- a trigger any more. A row that can be claimed, or claimed by others than before, wakes who sleeps.
DROP TRIGGER announce_update ON public.governance_tasks;
DROP FUNCTION juggernaut.follow_moves();
CREATE FUNCTION juggernaut.wake_up() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  -- A hint: polling is the truth. What is said twice in a transaction is sent once. A queue that a listener
  -- lets fill up must not refuse the work that is announced in it.
  IF EXISTS (SELECT FROM juggernaut.sessions s WHERE s.waiting AND s.closed_at IS NULL) AND pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('juggernaut_work', NEW.task_type);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER wake_up AFTER UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.ready AND (NOT OLD.ready OR NEW.lane <> OLD.lane)) EXECUTE FUNCTION juggernaut.wake_up();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER wake_up;

-- Two moves are certified by their own shape, and need no function to look at them: a claim and a
-- completion as the functions of this file write them. No run-time login may write fence or lease,
-- so no typed statement has this shape. Conditions are read anew by each statement, so what a
-- constraint ensures is not repeated (ready is pending and held by nobody, completed has evidence),
-- and what else the guard looks at is no condition: a statement that names one of those columns goes
-- through the guard whatever its shape.
CREATE OR REPLACE TRIGGER guard_update BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN ((
    (OLD.ready AND NOT NEW.ready AND NEW.status = 'in_progress' AND NEW.lease_hash IS NOT NULL AND NEW.fence = OLD.fence + 1
     AND NEW.attempts = OLD.attempts + 1 AND NEW.evidence_id IS NULL AND NEW.completed_at IS NULL)
    OR
    (OLD.lease_hash IS NOT NULL AND OLD.status = 'in_progress' AND NEW.status = 'completed' AND NOT NEW.ready AND NEW.lease_login IS NULL
     AND NEW.lease_hash IS NULL AND NEW.session_id IS NULL AND NEW.fence = OLD.fence AND NEW.attempts = OLD.attempts
     AND NEW.assigned_worker = OLD.assigned_worker)
  ) IS NOT TRUE)
  EXECUTE FUNCTION juggernaut.guard_update();
CREATE TRIGGER guard_content BEFORE UPDATE OF id, created_by, created_at, depends_on, waits, title, description, task_type,
  acceptance_criteria, payload, repo, priority, risk_level, assignment ON public.governance_tasks FOR EACH ROW
  WHEN ((
    (OLD.ready AND NOT NEW.ready AND NEW.status = 'in_progress' AND NEW.lease_hash IS NOT NULL AND NEW.fence = OLD.fence + 1
     AND NEW.attempts = OLD.attempts + 1 AND NEW.evidence_id IS NULL AND NEW.completed_at IS NULL)
    OR
    (OLD.lease_hash IS NOT NULL AND OLD.status = 'in_progress' AND NEW.status = 'completed' AND NOT NEW.ready AND NEW.lease_login IS NULL
     AND NEW.lease_hash IS NULL AND NEW.session_id IS NULL AND NEW.fence = OLD.fence AND NEW.attempts = OLD.attempts
     AND NEW.assigned_worker = OLD.assigned_worker)
  ) IS TRUE)
  EXECUTE FUNCTION juggernaut.guard_update();
CREATE OR REPLACE TRIGGER guard_words BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN (OLD.status = NEW.status OR NEW.approved_by IS DISTINCT FROM OLD.approved_by OR (OLD.requires_approval AND NOT NEW.requires_approval))
  EXECUTE FUNCTION juggernaut.guard_words();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_update;
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_content;
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_words;

-- The same as before, and what is repeated here and there: a claim goes by it.
CREATE OR REPLACE VIEW public.law_violations AS
  SELECT 'completed without evidence of its own attempt' AS law, t.id AS task_id, t.title AS details
    FROM public.governance_tasks t LEFT JOIN juggernaut.evidence e ON e.id = t.evidence_id AND e.task_id = t.id AND e.fence = t.fence
   WHERE t.status = 'completed' AND e.id IS NULL
  UNION ALL
  SELECT 'completed with a criterion that is not met', t.id, format('criterion %s', c.number)
    FROM public.governance_tasks t JOIN juggernaut.criteria c ON c.task_id = t.id
    LEFT JOIN juggernaut.verdicts v ON v.task_id = t.id AND v.number = c.number AND v.fence = t.fence
   WHERE t.status = 'completed' AND v.verdict IS DISTINCT FROM 'met'
  UNION ALL
  SELECT 'high or critical work completed without approval', t.id, t.risk_level
    FROM public.governance_tasks t JOIN juggernaut.risks r USING (risk_level)
   WHERE t.status = 'completed' AND r.approvers > 0
     AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'approved')
  UNION ALL
  SELECT 'tainted work above low completed without approval', t.id, t.risk_level
    FROM public.governance_tasks t
   WHERE t.status = 'completed' AND t.tainted AND t.risk_level <> 'low'
     AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'approved')
  UNION ALL
  SELECT 'approved by fewer people than needed', a.task_id, format('%s: %s of %s', a.gate, count(d.decided_by), a.need)
    FROM public.approvals a LEFT JOIN juggernaut.decisions d ON d.approval_id = a.id AND d.decision = 'approved'
   WHERE a.status = 'approved' GROUP BY a.id HAVING count(d.decided_by) < a.need
  UNION ALL
  SELECT 'approved by its proposer', a.task_id, d.decided_by
    FROM public.approvals a JOIN juggernaut.decisions d ON d.approval_id = a.id AND d.decision = 'approved'
    JOIN public.governance_tasks t ON t.id = a.task_id
   WHERE a.status = 'approved' AND d.decided_by IN (t.created_by, a.requested_by)
  UNION ALL
  SELECT 'two ends of one task', a.task_id, format('%s completions', count(*))
    FROM juggernaut.attempts a WHERE a.ended_as = 'completed' GROUP BY a.task_id HAVING count(*) > 1
  UNION ALL
  SELECT 'a purse does not balance', NULL, b.scope
    FROM public.budgets b
   WHERE b.reserved_usd <> (SELECT coalesce(sum(c.reserved_usd), 0) FROM juggernaut.model_calls c WHERE c.state = 'reserved' AND b.scope = ANY (c.scopes))
  UNION ALL
  SELECT 'blocked, or waiting, without a next step', t.id, t.status
    FROM public.governance_tasks t
   WHERE (t.status = 'blocked' AND t.blocked_owner IS NULL)
      OR (t.status = 'waiting_approval' AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'pending'))
  UNION ALL
  SELECT 'a lane says otherwise than its type or priority', NULL, format('lane %s: %s, %s', l.lane, l.task_type, l.priority)
    FROM juggernaut.lanes l JOIN juggernaut.task_types y USING (task_type) JOIN juggernaut.priorities q USING (priority)
   WHERE (l.risk_floor, l.weight_seconds) <> (y.risk_floor, q.weight_seconds)
      OR l.granted <> ARRAY(SELECT g.worker_type FROM juggernaut.grants g WHERE g.task_type = l.task_type ORDER BY 1)
  UNION ALL
  SELECT 'a session can do more than its worker says', NULL, format('session %s of %s', s.id, s.worker_id)
    FROM juggernaut.sessions s LEFT JOIN public.worker_registry w USING (worker_id)
   WHERE s.closed_at IS NULL AND s.handles <> '{}'
     AND (w.instance_id IS DISTINCT FROM s.id OR NOT w.capabilities @> to_jsonb(s.handles));
