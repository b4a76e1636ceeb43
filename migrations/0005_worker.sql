-- What a daemon's worker calls. Every write of an attempt names (task, fence, secret), and its
-- answer says whether it landed.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.hash(p_secret uuid) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$ SELECT sha256(convert_to(p_secret::text, 'UTF8')) $$;

CREATE FUNCTION juggernaut.open_session_v1(p_worker text, p_type text, p_meta jsonb)
RETURNS TABLE (session uuid, secret uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_session uuid := gen_random_uuid();
  v_secret uuid := gen_random_uuid();
BEGIN
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

CREATE FUNCTION juggernaut.beat_v1(p_session uuid, p_secret uuid, p_status text, p_task uuid) RETURNS boolean
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
  UPDATE public.worker_registry SET status = p_status, current_task_id = p_task
   WHERE worker_id = v_worker AND instance_id = p_session;
  RETURN true;
END
$$;

CREATE FUNCTION juggernaut.close_session_v1(p_session uuid, p_secret uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.sessions SET closed_at = clock_timestamp(), waiting = false
   WHERE id = p_session AND secret_hash = juggernaut.hash(p_secret) AND login = juggernaut.acting() AND closed_at IS NULL;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE public.worker_registry SET status = 'offline', current_task_id = NULL WHERE instance_id = p_session;
  RETURN true;
END
$$;

CREATE FUNCTION juggernaut.idle_v1(p_session uuid, p_waiting boolean) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  UPDATE juggernaut.sessions SET waiting = p_waiting
   WHERE id = p_session AND login = juggernaut.acting() AND waiting IS DISTINCT FROM p_waiting AND closed_at IS NULL
$$;

CREATE FUNCTION juggernaut.task_json(t public.governance_tasks) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT jsonb_build_object(
    'id', t.id, 'title', t.title, 'description', t.description, 'task_type', t.task_type, 'priority', t.priority,
    'risk_level', t.risk_level, 'status', t.status, 'goal_id', t.goal_id, 'parent_task_id', t.parent_task_id, 'repo', t.repo,
    'payload', t.payload || jsonb_build_object('accepted_criteria', coalesce((SELECT jsonb_agg(c.number) FROM juggernaut.criteria c
                                                WHERE c.task_id = t.id AND c.accepted_by IS NOT NULL), '[]')),
    'result', t.result, 'attempts', t.attempts, 'max_attempts', t.max_attempts, 'timeout_seconds', t.timeout_seconds,
    'budget_usd', t.budget_usd, 'created_by', t.created_by,
    'error_message', (SELECT a.error_message FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.ended_as IN ('retry', 'failed', 'expired')
                       ORDER BY a.fence DESC LIMIT 1),
    'criteria', coalesce((SELECT jsonb_agg(jsonb_build_object('number', c.number, 'text', c.text, 'check', c.check_argv) ORDER BY c.number)
                            FROM juggernaut.criteria c WHERE c.task_id = t.id), '[]'))
$$;

-- The line that claims a task: of the types that an operator granted to this kind of worker, and
-- that it has a handler for (its capabilities; they widen nothing). The index walk is per lane with the lock inside, so it is as short
-- with a million pending rows as with ten; SKIP LOCKED lets claimers pass each other.
CREATE FUNCTION juggernaut.claim_v1(p_session uuid, p_secret uuid, p_slots integer)
RETURNS TABLE (task jsonb, fence bigint, secret uuid, seconds integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  s juggernaut.sessions;
  v_lanes integer[];
BEGIN
  SELECT * INTO s FROM juggernaut.sessions x
   WHERE x.id = p_session AND x.secret_hash = juggernaut.hash(p_secret) AND x.login = juggernaut.acting()
     AND x.closed_at IS NULL AND x.expires_at > clock_timestamp();
  IF s.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', 'this session is over', 'register again');
  END IF;
  UPDATE public.governance_tasks t SET due_at = NULL
   WHERE t.id = ANY (ARRAY(SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= clock_timestamp()
                            ORDER BY d.due_at LIMIT 50 FOR UPDATE SKIP LOCKED));
  SELECT array_agg(l.lane) INTO v_lanes
    FROM juggernaut.lanes l JOIN juggernaut.grants g ON g.task_type = l.task_type AND g.worker_type = s.worker_type
    JOIN public.worker_registry w ON w.instance_id = s.id AND w.capabilities ? l.task_type
   WHERE l.assignment IN ('', s.worker_type, s.worker_id)
     AND NOT juggernaut.paused(s.worker_type, s.worker_id, l.task_type, NULL);
  IF v_lanes IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH head AS MATERIALIZED (
    SELECT r.id, r.claim_key, r.concurrency_key
      FROM unnest(v_lanes) AS v (lane)
     CROSS JOIN LATERAL (
       SELECT t.id, t.claim_key, t.concurrency_key FROM public.governance_tasks t
        WHERE t.lane = v.lane AND t.ready
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
       SET status = 'in_progress', assigned_worker = s.worker_id, started_at = clock_timestamp(), attempts = t.attempts + 1,
           fence = t.fence + 1, session_id = s.id, lease_login = s.login, lease_hash = juggernaut.hash(p.new_secret),
           lease_until = clock_timestamp() + make_interval(secs => t.timeout_seconds) + juggernaut.seconds('timeout_grace_seconds'),
           error_message = NULL
      FROM picked p WHERE t.id = p.id
    RETURNING t AS claimed, p.new_secret
  ), booked AS (
    INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login, lease_hash)
      SELECT (k.claimed).id, (k.claimed).fence, s.id, s.worker_id, s.login, (k.claimed).lease_hash FROM taken k
  )
  SELECT juggernaut.task_json(k.claimed), (k.claimed).fence, k.new_secret, (k.claimed).timeout_seconds
    FROM taken k ORDER BY (k.claimed).claim_key, (k.claimed).id;
END
$$;

-- The task row if (fence, secret, login, live session) hold it at this moment, else null; locked.
CREATE FUNCTION juggernaut.held(p_task uuid, p_fence bigint, p_secret uuid) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
BEGIN
  SELECT * INTO t FROM public.governance_tasks x WHERE x.id = p_task FOR NO KEY UPDATE;
  IF t.id IS NULL OR t.status <> 'in_progress' OR t.fence <> p_fence OR t.lease_hash IS DISTINCT FROM juggernaut.hash(p_secret)
     OR t.lease_login <> juggernaut.acting() OR t.lease_until <= clock_timestamp()
     OR NOT EXISTS (SELECT FROM juggernaut.sessions s WHERE s.id = t.session_id AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()) THEN
    RETURN NULL;
  END IF;
  RETURN t;
END
$$;

CREATE FUNCTION juggernaut.still_held_v1(p_task uuid, p_fence bigint, p_secret uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT (juggernaut.held(p_task, p_fence, p_secret)).id IS NOT NULL $$;

-- Was this attempt's end written already? Then a repeat of the same call says the same again.
CREATE FUNCTION juggernaut.ended_as(p_task uuid, p_fence bigint, p_secret uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT a.ended_as FROM juggernaut.attempts a
       WHERE a.task_id = p_task AND a.fence = p_fence AND a.lease_hash = juggernaut.hash(p_secret) AND a.login = juggernaut.acting() $$;

CREATE FUNCTION juggernaut.end_attempt(p_task uuid, p_fence bigint, p_as text, p_code text, p_message text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  UPDATE juggernaut.attempts SET ended_at = clock_timestamp(), ended_as = p_as, error_code = p_code, error_message = left(p_message, 16000)
   WHERE task_id = p_task AND fence = p_fence AND ended_at IS NULL
$$;

CREATE FUNCTION juggernaut.log_v1(p_task uuid, p_fence bigint, p_secret uuid, p_action text, p_level text, p_message text,
                                  p_metadata jsonb, p_error jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  INSERT INTO public.execution_logs (task_id, worker_id, action, level, message, metadata, error_data, fence)
    SELECT p_task, a.worker_id, p_action, p_level, left(p_message, 16000), coalesce(p_metadata, '{}'), p_error, p_fence
      FROM juggernaut.attempts a JOIN public.governance_tasks t ON t.id = a.task_id
     WHERE a.task_id = p_task AND a.fence = p_fence AND t.fence = p_fence
       AND a.lease_hash = juggernaut.hash(p_secret) AND a.login = juggernaut.acting();
  RETURN FOUND;
END
$$;

CREATE FUNCTION juggernaut.pass_gate_v1(p_task uuid, p_fence bigint, p_secret uuid, p_gate text, p_digest text, p_body jsonb,
                                        p_risk text, p_factors text[]) RETURNS TABLE (go boolean, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_risk text;
  v_need integer;
  v_reason text;
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  v_risk := juggernaut.higher_risk(juggernaut.higher_risk(p_risk, t.risk_level),
                                   (SELECT risk_floor FROM juggernaut.task_types y WHERE y.task_type = t.task_type));
  INSERT INTO juggernaut.plans (task_id, fence, gate, digest, body, risk_level, factors)
    VALUES (t.id, t.fence, p_gate, p_digest, p_body, v_risk, p_factors) ON CONFLICT (task_id, fence, gate) DO NOTHING;
  SELECT greatest(r.approvers, CASE WHEN t.requires_approval AND p_gate = 'plan' THEN 1 ELSE 0 END) INTO v_need
    FROM juggernaut.risks r WHERE r.risk_level = v_risk;
  UPDATE public.governance_tasks g SET risk_level = v_risk, risk_factors = p_factors, plan_digest = p_digest WHERE g.id = t.id;
  IF v_need = 0 THEN
    RETURN QUERY SELECT true, format('risk %s: no approval needed', v_risk);
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = p_gate AND a.digest = p_digest
                AND a.status = 'approved' AND a.need >= v_need) THEN
    RETURN QUERY SELECT true, 'approved';
    RETURN;
  END IF;
  v_reason := coalesce(t.approval_reason, format('risk %s: %s', v_risk, array_to_string(p_factors, '; ')));
  UPDATE public.approvals a SET status = 'void', decided_at = clock_timestamp()
   WHERE a.task_id = t.id AND a.status IN ('pending', 'approved') AND a.gate = p_gate AND a.digest <> p_digest;
  INSERT INTO public.approvals (task_id, gate, digest, body, risk_level, factors, reason, need, requested_by)
    VALUES (t.id, p_gate, p_digest, p_body, v_risk, p_factors, v_reason, v_need, juggernaut.acting())
    ON CONFLICT (task_id, gate, digest) DO UPDATE SET status = 'pending', need = excluded.need, risk_level = excluded.risk_level,
      factors = excluded.factors, decided_at = NULL, requested_at = clock_timestamp();
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'parked', NULL, NULL);
  UPDATE public.governance_tasks g SET status = 'waiting_approval', requires_approval = true, approval_reason = v_reason,
         attempts = g.attempts - 1, assigned_worker = g.assignment, session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN QUERY SELECT false, v_reason;
END
$$;

CREATE FUNCTION juggernaut.complete_v1(p_task uuid, p_fence bigint, p_secret uuid, p_kind text, p_facts jsonb, p_verdicts jsonb,
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
  RETURN true;
END
$$;

CREATE FUNCTION juggernaut.fail_v1(p_task uuid, p_fence bigint, p_secret uuid, p_code text, p_message text, p_retry_after numeric)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  again boolean;
BEGIN
  IF t.id IS NULL THEN
    RETURN (SELECT CASE juggernaut.ended_as(p_task, p_fence, p_secret) WHEN 'retry' THEN 'pending' WHEN 'failed' THEN 'failed' END);
  END IF;
  again := p_retry_after IS NOT NULL AND t.attempts < t.max_attempts;
  PERFORM juggernaut.end_attempt(t.id, t.fence, CASE WHEN again THEN 'retry' ELSE 'failed' END, p_code, p_message);
  UPDATE public.governance_tasks g
     SET status = CASE WHEN again THEN 'pending' ELSE 'failed' END, error_message = left(p_code || ': ' || p_message, 16000),
         run_after = CASE WHEN again THEN clock_timestamp() + make_interval(secs => p_retry_after::float8) END,
         completed_at = CASE WHEN again THEN NULL ELSE clock_timestamp() END,
         assigned_worker = CASE WHEN again THEN g.assignment ELSE g.assigned_worker END,
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  IF NOT again THEN
    PERFORM juggernaut.raise_alert('task_failed', t.id::text, 'error', format('task "%s" failed after %s attempts', t.title, t.attempts),
                                   jsonb_build_object('task_id', t.id, 'code', p_code, 'message', left(p_message, 1000)));
  END IF;
  RETURN CASE WHEN again THEN 'pending' ELSE 'failed' END;
END
$$;

CREATE FUNCTION juggernaut.block_v1(p_task uuid, p_fence bigint, p_secret uuid, p_reason text, p_owner text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) = 'blocked', false);
  END IF;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'blocked', 'blocked', p_reason);
  UPDATE public.governance_tasks g SET status = 'blocked', blocked_reason = left(p_reason, 4000), blocked_owner = left(p_owner, 300),
         blocked_at = clock_timestamp(), attempts = g.attempts - 1, assigned_worker = g.assignment,
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN true;
END
$$;

CREATE FUNCTION juggernaut.release_v1(p_task uuid, p_fence bigint, p_secret uuid, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) = 'released', false);
  END IF;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'released', 'released', p_reason);
  UPDATE public.governance_tasks g SET status = 'pending', attempts = g.attempts - 1, run_after = NULL, assigned_worker = g.assignment,
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN true;
END
$$;
