-- What must not be has a name, an audit that leaves out no row, and no change of a person without an event.
SET LOCAL ROLE juggernaut_owner;

-- What approvers and facts are owed since when: whoever asks for more makes no law-breakers of what ended before.
ALTER TABLE juggernaut.risks ADD COLUMN since timestamptz NOT NULL DEFAULT clock_timestamp();
ALTER TABLE juggernaut.task_types ADD COLUMN facts_since timestamptz NOT NULL DEFAULT clock_timestamp();
COMMENT ON COLUMN juggernaut.risks.since IS 'when approvers changed; tasks that ended before are not held to it';
COMMENT ON COLUMN juggernaut.task_types.facts_since IS 'when required_facts changed; tasks that ended before are not held to it';
UPDATE juggernaut.risks r SET since = coalesce((SELECT max(e.at) FROM juggernaut.events e WHERE e.kind = 'risks.update' AND e.subject = r.risk_level), '-infinity');
-- Earlier versions took facts that are refused now.
UPDATE juggernaut.task_types SET facts_since = '-infinity' WHERE NOT EXISTS (SELECT FROM public.governance_tasks);
CREATE TRIGGER mark_since BEFORE UPDATE OF approvers ON juggernaut.risks FOR EACH ROW
  WHEN (NEW.approvers <> OLD.approvers) EXECUTE FUNCTION juggernaut.mark_since();
ALTER TABLE juggernaut.risks ENABLE ALWAYS TRIGGER mark_since;
CREATE FUNCTION juggernaut.mark_facts_since() RETURNS trigger
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  NEW.facts_since := clock_timestamp();
  RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.mark_facts_since() FROM PUBLIC;
CREATE TRIGGER mark_facts_since BEFORE UPDATE OF required_facts ON juggernaut.task_types FOR EACH ROW
  WHEN (NEW.required_facts <> OLD.required_facts) EXECUTE FUNCTION juggernaut.mark_facts_since();
ALTER TABLE juggernaut.task_types ENABLE ALWAYS TRIGGER mark_facts_since;

-- A purse that was set anew does not owe what was spent before.
ALTER TABLE public.budgets ADD COLUMN since timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE public.budgets ALTER COLUMN since SET DEFAULT clock_timestamp();
COMMENT ON COLUMN public.budgets.since IS 'when the purse was made; what was settled before is none of its';

-- What people said when they sent something back is said for good, and typed by nobody without an event.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON juggernaut.sent_back FOR EACH ROW EXECUTE FUNCTION juggernaut.append_only();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON juggernaut.sent_back FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.append_only();
CREATE TRIGGER audit_typed AFTER INSERT ON juggernaut.sent_back FOR EACH ROW WHEN (current_user <> 'juggernaut_owner')
  EXECUTE FUNCTION juggernaut.audit_row('{task_id,round}', '{}', 'people');
ALTER TABLE juggernaut.sent_back ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE juggernaut.sent_back ENABLE ALWAYS TRIGGER append_only_all;
ALTER TABLE juggernaut.sent_back ENABLE ALWAYS TRIGGER audit_typed;

-- No event says what a TRUNCATE took away: where rows have events, rows are deleted.
CREATE FUNCTION juggernaut.no_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.refuse('JG001', format('%s.%s is not emptied by TRUNCATE: that would leave no event', TG_TABLE_SCHEMA, TG_TABLE_NAME),
                            format(CASE TG_TABLE_NAME WHEN 'thresholds' THEN 'UPDATE %I.%I SET value = ... WHERE name = ...' ELSE 'DELETE FROM %I.%I' END, TG_TABLE_SCHEMA, TG_TABLE_NAME));
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.no_truncate() FROM PUBLIC;
DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['juggernaut.thresholds', 'public.budgets', 'public.controls', 'juggernaut.login_types', 'juggernaut.editors',
                           'juggernaut.forge_people', 'public.schedules', 'public.alerts'] LOOP
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.no_truncate()', t);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER no_truncate', t);
  END LOOP;
END
$$;

-- As before, and to whom a task is assigned and why it is risky.
CREATE OR REPLACE FUNCTION juggernaut.audit_hand(old public.governance_tasks, new public.governance_tasks) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  -- Of a move only what its own event lacks.
  names text[] := CASE WHEN new.status = old.status
    THEN ARRAY['run_after', 'error_message', 'approved_by', 'approved_at', 'approval_reason', 'assigned_worker', 'on_failed_need', 'attempts',
               'started_at', 'completed_at', 'completion_evidence', 'result', 'evidence_id', 'depth', 'confirm_pull', 'lease_until', 'session_id',
               'blocked_reason', 'blocked_owner', 'blocked_at', 'tainted', 'assignment', 'risk_factors']
    ELSE ARRAY['run_after', 'assigned_worker', 'on_failed_need', 'attempts', 'result', 'completion_evidence', 'evidence_id', 'depth', 'confirm_pull', 'assignment', 'risk_factors'] END;
  old_row jsonb := to_jsonb(old);
  new_row jsonb := to_jsonb(new);
  old_part jsonb;
  new_part jsonb;
BEGIN
  SELECT jsonb_object_agg(n, old_row -> n), jsonb_object_agg(n, new_row -> n) INTO old_part, new_part
    FROM unnest(names) AS n WHERE old_row -> n IS DISTINCT FROM new_row -> n;
  IF new_part IS NOT NULL THEN
    PERFORM juggernaut.record_event('governance_tasks.update', old.id::text, old_part, new_part);
  END IF;
END
$$;

ALTER TABLE public.reports ADD CONSTRAINT facts_are_bounded CHECK (pg_column_size(facts) <= 1048576) NOT VALID;
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.reports r WHERE pg_column_size(r.facts) > 1048576) THEN
    ALTER TABLE public.reports VALIDATE CONSTRAINT facts_are_bounded;
  END IF;
END
$$;

-- As before, and every event is under a seal or waits for one.
CREATE OR REPLACE FUNCTION public.audit_verify() RETURNS TABLE (ok boolean, sealed bigint, unsealed bigint, first_bad text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  r record;
  b record;
  again record;
  s juggernaut.seals;
  v_before bytea := '';
  v_epoch integer := 0;
  v_until bigint;
  v_from xid8 := '0';
  v_from_seq bigint := 0;
  v_to xid8;
  v_to_seq bigint;
  v_sealed bigint := 0;
  v_unsealed bigint;
  v_outside bigint;
  v_bad text;
BEGIN
  SELECT * INTO b FROM juggernaut.seal_border();
  s := b.newest;
  SELECT count(*) INTO v_unsealed FROM juggernaut.events e
   WHERE e.seq > s.after_seq AND ((e.xid, e.seq) > (s.last_xid, s.last_seq) OR e.seq > b.until);
  FOR r IN SELECT x AS seal, lead(x.epoch) OVER (ORDER BY x.epoch, x.last_xid, x.last_seq) AS next_epoch
             FROM juggernaut.seals x ORDER BY x.epoch, x.last_xid, x.last_seq
  LOOP
    s := r.seal;
    IF s.epoch <> v_epoch THEN
      v_until := coalesce((SELECT min(x.after_seq) FROM juggernaut.seals x WHERE x.epoch = s.epoch + 1), b.until);
      v_from := '0';
      v_from_seq := 0;
      v_epoch := s.epoch;
    END IF;
    -- What came to an epoch that is over came behind its last seal.
    v_to := CASE WHEN r.next_epoch <> s.epoch THEN '18446744073709551615' ELSE s.last_xid END;
    v_to_seq := CASE WHEN r.next_epoch <> s.epoch THEN '9223372036854775807' ELSE s.last_seq END;
    IF s.form = 1 THEN
      SELECT x.digest, x.n INTO again FROM juggernaut.seal_bytes(v_before, v_until, v_from, v_to) x;
    ELSIF s.epoch > 1 AND s.last_xid = '0' THEN
      SELECT juggernaut.epoch_digest(v_before, s.epoch, s.after_seq) AS digest, 0 AS n INTO again;
    ELSE
      SELECT x.digest, x.n INTO again FROM juggernaut.seal_fold(v_before, s.after_seq, v_until, v_from, v_from_seq, v_to, v_to_seq, NULL, NULL) x;
    END IF;
    IF again.digest <> s.digest OR again.n <> s.rows_sealed THEN
      v_bad := CASE WHEN s.seqs IS NULL THEN format('events of transactions after %s up to %s were changed', v_from, s.last_xid)
                    ELSE juggernaut.first_bad_row(v_until, v_from, v_from_seq, v_to, v_to_seq, s) END;
      EXIT;
    END IF;
    v_sealed := v_sealed + s.rows_sealed;
    v_before := s.digest;
    v_from := s.last_xid;
    v_from_seq := s.last_seq;
  END LOOP;
  -- What is under no seal, and waits for none, was put where no seal looks: no event was ever written there.
  SELECT count(*) - v_sealed - v_unsealed INTO v_outside FROM juggernaut.events;
  IF v_bad IS NULL AND v_outside <> 0 THEN
    v_bad := coalesce((SELECT format('event %s lies under no seal: %s of %s by %s', e.seq, e.kind, e.subject, e.login) FROM juggernaut.events e
                        WHERE e.seq <= 0 OR e.xid = '0' ORDER BY e.seq LIMIT 1), format('%s events lie under no seal', v_outside));
  END IF;
  RETURN QUERY SELECT v_bad IS NULL, v_sealed, v_unsealed, v_bad;
END
$$;

-- As before, and: what attempts, leases and sessions say of each other, what evidence holds, who decided when, plans and parents.
CREATE OR REPLACE VIEW public.law_violations AS
  -- What a verifier records has the facts that its type owes, and green ones; what a plain-SQL worker says has its words.
  SELECT x.law, t.id AS task_id, t.title AS details
    FROM public.governance_tasks t JOIN juggernaut.task_types y USING (task_type)
    LEFT JOIN juggernaut.evidence e ON e.id = t.evidence_id AND e.task_id = t.id AND e.fence = t.fence
   CROSS JOIN LATERAL (SELECT CASE
     WHEN e.id IS NULL THEN 'completed without evidence of its own attempt'
     WHEN e.kind <> t.task_type THEN 'completed with evidence of another kind'
     WHEN t.completed_at <= y.facts_since + interval '1 minute' THEN NULL
     WHEN NOT e.facts ?& CASE e.source WHEN 'verifier' THEN y.required_facts ELSE '{self_reported}' END THEN 'completed with evidence that lacks what it owes'
     WHEN e.source = 'verifier' AND (e.facts ->> 'failed' <> '0' AND 'failed' = ANY (y.required_facts)
                                     OR e.facts ->> 'exit_code' <> '0' AND 'exit_code' = ANY (y.required_facts)) THEN 'completed with evidence that is red'
     END AS law) x
   WHERE t.status = 'completed' AND x.law IS NOT NULL
  UNION ALL
  SELECT 'completed with a criterion that is not met', t.id, format('criterion %s', c.number)
    FROM public.governance_tasks t JOIN juggernaut.criteria c ON c.task_id = t.id
    LEFT JOIN juggernaut.verdicts v ON v.task_id = t.id AND v.number = c.number AND v.fence = t.fence
   WHERE t.status = 'completed' AND v.verdict IS DISTINCT FROM 'met'
  UNION ALL
  -- A letter that is no tick in a box is a criterion.
  SELECT 'completed, and its criteria are gone', t.id, t.title
    FROM public.governance_tasks t
   WHERE t.status = 'completed' AND t.acceptance_criteria IS NOT NULL AND translate(t.acceptance_criteria, 'xX', '') ~ '[[:alpha:]]'
     AND NOT EXISTS (SELECT FROM juggernaut.criteria c WHERE c.task_id = t.id)
  UNION ALL
  -- The end of high work looks at this, at low work only its gate does; what ended before approvers or bound changed is not held to them.
  SELECT x.law, t.id, t.risk_level
    FROM public.governance_tasks t JOIN juggernaut.risks r USING (risk_level)
    LEFT JOIN (SELECT a.task_id, max(a.need) AS need, max(a.decided_at) AS decided_at FROM public.approvals a WHERE a.status = 'approved' GROUP BY a.task_id) p
      ON p.task_id = t.id
   CROSS JOIN (SELECT h.value, h.since FROM juggernaut.thresholds h WHERE h.name = 'approval_seconds') h
   CROSS JOIN LATERAL (SELECT CASE
     WHEN p.task_id IS NULL THEN 'high or critical work completed without approval'
     WHEN p.need < r.approvers THEN 'approved by fewer people than the policy asks'
     WHEN t.completed_at > h.since + interval '1 minute'
          AND p.decided_at < t.started_at - make_interval(secs => h.value::float8) - interval '1 minute' THEN 'approved too long before it was begun'
     END AS law) x
   WHERE t.status = 'completed' AND r.approvers > 0 AND x.law IS NOT NULL
     AND CASE t.risk_level WHEN 'low' THEN t.started_at ELSE t.completed_at END > r.since + interval '1 minute'
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
  -- What an attempt became and what its task became are one story. A merge that was reported ends both later.
  SELECT x.law, t.id, format('attempt %s: %s', a.fence, coalesce(a.ended_as, 'open'))
    FROM juggernaut.attempts a JOIN public.governance_tasks t ON t.id = a.task_id
   CROSS JOIN LATERAL (SELECT CASE
     WHEN a.ended_at IS NULL THEN CASE WHEN t.lease_login IS NULL OR a.fence <> t.fence THEN 'an open attempt that does not hold its task' END
     WHEN t.status = 'completed' THEN CASE
       WHEN a.ended_as = 'completed' AND a.fence <> t.fence THEN 'two ends of one task'
       WHEN a.fence = t.fence AND a.ended_as NOT IN ('completed', 'awaiting_merge') THEN 'completed, and its attempt was not' END
     WHEN a.ended_as = 'completed' THEN 'an attempt completed, and its task is not'
     WHEN a.ended_as = 'cancelled' AND t.status <> 'cancelled' THEN 'an attempt was cancelled, and its task is not'
     END AS law) x
   WHERE x.law IS NOT NULL
  UNION ALL
  SELECT 'a purse does not balance', NULL, b.scope
    FROM public.budgets b
    LEFT JOIN (SELECT s.scope, sum(c.reserved_usd) AS usd, sum(c.reserved_tokens) AS tokens
                 FROM juggernaut.model_calls c CROSS JOIN LATERAL unnest(c.scopes) AS s (scope)
                WHERE c.state = 'reserved' GROUP BY s.scope) o USING (scope)
   WHERE (b.reserved_usd, b.reserved_tokens) <> (coalesce(o.usd, 0), coalesce(o.tokens, 0))
      OR least(b.reserved_usd, b.spent_usd, b.reserved_tokens, b.spent_tokens) < 0
      OR b.spent_usd + b.reserved_usd > b.cap_usd OR b.spent_tokens + b.reserved_tokens > b.cap_tokens
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
     AND (w.instance_id IS DISTINCT FROM s.id OR NOT w.capabilities @> to_jsonb(s.handles))
  UNION ALL
  SELECT 'waits for a task that will never complete', t.id, format('%s is %s', n.id, n.status)
    FROM public.governance_tasks t JOIN juggernaut.dependencies d ON d.task_id = t.id AND NOT d.met JOIN public.governance_tasks n ON n.id = d.needs_id
   WHERE t.status = 'waiting' AND n.status IN ('failed', 'rejected', 'cancelled')
  UNION ALL
  SELECT 'waits for nothing', t.id, t.title
    FROM public.governance_tasks t
   WHERE t.status = 'waiting' AND NOT EXISTS (
           SELECT FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id
            WHERE d.task_id = t.id AND NOT d.met AND n.status <> 'completed')
  UNION ALL
  SELECT 'approved by somebody who changed it', a.task_id, d.decided_by
    FROM public.approvals a JOIN juggernaut.decisions d ON d.approval_id = a.id AND d.decision = 'approved'
    JOIN juggernaut.editors e ON e.task_id = a.task_id AND e.login = d.decided_by
   WHERE a.status = 'approved'
  UNION ALL
  -- What a call cost above its reservation is taken as far as there is room. A call that settles as the
  -- day begins may be counted to the day before. A purse that was set anew pays
  -- what comes then. Other purses have no day: they would need every call there ever was.
  SELECT 'a day costs otherwise than its purse says', NULL, format('%s: spent %s, its calls cost %s', b.scope, b.spent_usd, d.usd)
    FROM public.budgets b
   CROSS JOIN LATERAL (
     SELECT coalesce(sum(c.cost_usd), 0) AS usd, coalesce(sum(c.tokens), 0) AS tokens,
            coalesce(sum(least(c.cost_usd, c.reserved_usd)) FILTER (WHERE c.settled_at > m.midnight + interval '1 minute'), 0) AS least_usd,
            coalesce(sum(least(c.tokens, c.reserved_tokens)) FILTER (WHERE c.settled_at > m.midnight + interval '1 minute'), 0) AS least_tokens
       FROM (SELECT greatest(b.period_start::timestamp AT TIME ZONE 'UTC', b.since) AS midnight OFFSET 0) m
       JOIN juggernaut.model_calls c ON c.settled_at >= m.midnight AND b.scope = ANY (c.scopes)) d
   WHERE b.period_start IS NOT NULL
     AND (b.spent_usd NOT BETWEEN d.least_usd AND d.usd OR b.spent_tokens NOT BETWEEN d.least_tokens AND d.tokens)
  UNION ALL
  -- One pass for what a row says by itself; the words are made for the few rows that are found.
  SELECT x.law, t.id, x.details
    FROM public.governance_tasks t
    JOIN juggernaut.task_types y USING (task_type)
    JOIN juggernaut.risks f ON f.risk_level = y.risk_floor
    LEFT JOIN juggernaut.risks r ON r.risk_level = t.risk_level
   CROSS JOIN (SELECT h.value, h.since, (SELECT min(o.since) FROM juggernaut.thresholds o) AS oldest FROM juggernaut.thresholds h WHERE h.name = 'task_depth') h
   CROSS JOIN LATERAL (VALUES
     ('risk below the floor of its type', coalesce(r.rank, -1) < f.rank AND t.created_at > y.since + interval '1 minute',
      format('%s, and %s is the least of %s', t.risk_level, y.risk_floor, t.task_type)),
     -- A merge that was reported and not confirmed was an attempt; a person may give another one.
     -- Before there was a since, the allowed number could be lowered below what was tried.
     ('tried more often than allowed', t.attempts > t.max_attempts AND t.created_at > h.oldest
        AND t.attempts > t.max_attempts + (SELECT count(*) FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.ended_as = 'awaiting_merge'),
      format('%s of %s attempts', t.attempts, t.max_attempts)),
     ('attempts without a fence', t.attempts > 0 AND t.fence = 0, format('%s attempts', t.attempts)),
     ('nested deeper than allowed', t.depth > h.value AND t.created_at > h.since + interval '1 minute', format('%s levels of %s', t.depth, h.value))
   ) AS x (law, broken, details)
   WHERE (t.attempts > t.max_attempts OR t.fence = 0 AND t.attempts > 0 OR t.depth > h.value AND t.created_at > h.since + interval '1 minute'
          OR coalesce(r.rank, -1) < f.rank AND t.created_at > y.since + interval '1 minute')
     AND x.broken
  UNION ALL
  -- Open tasks: a late write of an old attempt would pass. A completed one is tied to its attempt by its evidence.
  SELECT 'a fence behind its attempts', t.id, format('fence %s, the newest attempt has %s', t.fence, a.fence)
    FROM public.governance_tasks t
   CROSS JOIN LATERAL (SELECT max(x.fence) AS fence FROM juggernaut.attempts x WHERE x.task_id = t.id) a
   WHERE t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled') AND a.fence > t.fence
  UNION ALL
  -- A gate keeps the bytes of its digest in plans; a plain-SQL request is the digest of its own bytes.
  SELECT 'approved bytes that its digest does not stand for', a.task_id, format('%s, digest %s', a.gate, left(a.digest, 12))
    FROM public.approvals a
   WHERE a.status = 'approved' AND a.digest <> encode(sha256(convert_to(a.body::text, 'UTF8')), 'hex')
     AND NOT EXISTS (SELECT FROM juggernaut.plans p WHERE p.task_id = a.task_id AND p.gate = a.gate AND p.digest = a.digest AND p.body = a.body)
  UNION ALL
  SELECT 'completed on a plan that nobody approved', t.id, t.risk_level
    FROM public.governance_tasks t JOIN juggernaut.risks r USING (risk_level)
   WHERE t.status = 'completed' AND r.approvers > 0 AND CASE t.risk_level WHEN 'low' THEN t.started_at ELSE t.completed_at END > r.since + interval '1 minute'
     AND EXISTS (SELECT FROM juggernaut.plans p WHERE p.task_id = t.id AND p.fence = t.fence)
     AND NOT EXISTS (SELECT FROM juggernaut.plans p JOIN public.approvals a ON a.task_id = p.task_id AND a.gate = p.gate AND a.digest = p.digest
                      WHERE p.task_id = t.id AND p.fence = t.fence AND a.status = 'approved')
  UNION ALL
  -- A login that is a worker, and had a session when it decided. An operator's may do both; who was dropped is not known any more.
  SELECT 'approved by a worker', a.task_id, d.decided_by
    FROM public.approvals a JOIN juggernaut.decisions d ON d.approval_id = a.id AND d.decision = 'approved'
    JOIN pg_catalog.pg_roles l ON l.rolname = d.decided_by
   WHERE a.status = 'approved' AND NOT pg_catalog.pg_has_role(l.oid, 'juggernaut_owner', 'MEMBER')
     AND (pg_catalog.pg_has_role(l.oid, 'juggernaut_worker', 'MEMBER') OR pg_catalog.pg_has_role(l.oid, 'juggernaut_plain', 'MEMBER'))
     AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.login = d.decided_by AND s.opened_at < d.decided_at
                    AND s.expires_at > d.decided_at AND (s.closed_at IS NULL OR s.closed_at > d.decided_at))
  UNION ALL
  -- Whoever holds a task holds it as its attempt says, and for a time that has bounds. A lease that is over is
  -- named where a daemon that could have ended it was there all the time.
  SELECT x.law, t.id, x.details
    FROM public.governance_tasks t
    LEFT JOIN juggernaut.attempts a ON a.task_id = t.id AND a.fence = t.fence
    LEFT JOIN juggernaut.sessions s ON s.id = t.session_id
   CROSS JOIN (SELECT h.value, h.since FROM juggernaut.thresholds h WHERE h.name = 'timeout_grace_seconds') h
   CROSS JOIN LATERAL (VALUES
     ('held without an open attempt of its own', a.task_id IS NULL OR a.ended_at IS NOT NULL, format('fence %s', t.fence)),
     ('held by a session that is not there', s.id IS NULL, t.session_id::text),
     ('held by another login than its attempt''s or session''s', t.lease_login <> a.login OR t.lease_login <> s.login OR t.session_id <> a.session_id, t.lease_login),
     ('held with another secret than its attempt''s', a.task_id IS NOT NULL AND t.lease_hash IS DISTINCT FROM a.lease_hash, format('fence %s', t.fence)),
     ('held for an hour after its lease', t.lease_until < clock_timestamp() - interval '1 hour'
        AND EXISTS (SELECT FROM juggernaut.sessions d WHERE d.closed_at IS NULL AND d.secret_hash IS NOT NULL AND d.opened_at < t.lease_until
                       AND d.expires_at > clock_timestamp()), format('until %s', t.lease_until)),
     ('held for longer than a task may take', t.lease_until > t.started_at + make_interval(secs => 86460 + h.value::float8) AND t.started_at > h.since,
      format('until %s', t.lease_until))
   ) AS x (law, broken, details)
   WHERE t.lease_login IS NOT NULL AND x.broken
  UNION ALL
  SELECT 'two holders of one concurrency_key', NULL, t.concurrency_key
    FROM public.governance_tasks t WHERE t.lease_login IS NOT NULL AND t.concurrency_key IS NOT NULL
   GROUP BY t.concurrency_key HAVING count(*) > 1
  UNION ALL
  SELECT 'pending, and neither ready nor due', t.id, t.title
    FROM public.governance_tasks t WHERE t.status = 'pending' AND NOT t.ready AND t.due_at IS NULL
  UNION ALL
  SELECT 'pending before its needs are met', t.id, format('%s is %s', n.id, n.status)
    FROM juggernaut.dependencies d JOIN public.governance_tasks t ON t.id = d.task_id AND t.status = 'pending' JOIN public.governance_tasks n ON n.id = d.needs_id
   WHERE NOT d.met
  UNION ALL
  SELECT 'risk below that of its plan', t.id, format('%s, and its plan is %s', t.risk_level, p.risk_level)
    FROM juggernaut.plans p JOIN juggernaut.risks f ON f.risk_level = p.risk_level AND f.rank > (SELECT min(x.rank) FROM juggernaut.risks x)
    JOIN public.governance_tasks t ON t.id = p.task_id JOIN juggernaut.risks r ON r.risk_level = t.risk_level
   WHERE r.rank < f.rank
  UNION ALL
  SELECT 'merged another head than was approved', t.id, left(e.facts ->> 'head_sha', 40)
    FROM public.governance_tasks t JOIN juggernaut.risks r USING (risk_level) JOIN juggernaut.task_types y USING (task_type)
    JOIN juggernaut.evidence e ON e.id = t.evidence_id AND e.source = 'verifier'
   WHERE t.status = 'completed' AND t.risk_level = 'critical' AND r.approvers > 0 AND t.completed_at > r.since + interval '1 minute'
     AND t.completed_at > y.facts_since + interval '1 minute' AND y.required_facts && '{head_sha,merged_sha}'
     AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = 'diff' AND a.status = 'approved'
                        AND a.body ->> 'head' = e.facts ->> 'head_sha')
  UNION ALL
  SELECT 'untainted under a tainted parent', t.id, format('of %s', p.id)
    FROM public.governance_tasks p JOIN public.governance_tasks t ON t.parent_task_id = p.id
   WHERE p.tainted AND NOT t.tainted
  UNION ALL
  -- What a plan made. Whoever types a task may type its parent too.
  SELECT 'not deeper than its parent, or of another goal', t.id, format('depth %s, of %s', t.depth, p.id)
    FROM public.governance_tasks t JOIN public.governance_tasks p ON p.id = t.parent_task_id
   WHERE (t.depth <= p.depth OR t.goal_id IS DISTINCT FROM p.goal_id)
     AND EXISTS (SELECT FROM juggernaut.attempts a WHERE a.task_id = p.id AND a.login = t.created_by)
  UNION ALL
  SELECT 'a task with a budget_usd has no purse', t.id, t.budget_usd::text
    FROM public.governance_tasks t
   WHERE t.budget_usd IS NOT NULL AND t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled')
     AND NOT EXISTS (SELECT FROM public.budgets b WHERE b.scope = 'task:' || t.id);
