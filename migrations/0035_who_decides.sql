-- Who decides, and on what: an approval is as good as the people behind it and as old as the oldest of
-- their decisions; a plan becomes tasks only when it may; a fork stays in its goal; taint and authors go along.
SET LOCAL ROLE juggernaut_owner;

-- What acting_kind() says of a session, said of a login that is not here: it may be gone by now.
CREATE FUNCTION juggernaut.may_decide(p_login text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE r.rolname = p_login
                    AND (pg_catalog.pg_has_role(r.oid, 'juggernaut_owner', 'MEMBER')
                         OR pg_catalog.pg_has_role(r.oid, 'juggernaut_approver', 'MEMBER') AND NOT juggernaut.is_worker(r.rolname)))
$$;
REVOKE ALL ON FUNCTION juggernaut.may_decide(text) FROM PUBLIC;
-- juggernaut.decisions calls it as whoever looks.
GRANT EXECUTE ON FUNCTION juggernaut.may_decide(text) TO juggernaut_worker, juggernaut_plain, juggernaut_approver, juggernaut_reader;

-- Who said yes since it was asked, and when last: nobody who may not decide any more, nothing older than p_since.
CREATE FUNCTION juggernaut.good_decisions(a public.approvals, p_since timestamptz) RETURNS TABLE (login text, said_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT d.decided_by, max(d.decided_at) FROM juggernaut.decision_log d
   WHERE d.approval_id = a.id AND d.asked_at = a.requested_at AND d.decision = 'approved' AND d.decided_at > p_since
     AND juggernaut.may_decide(d.decided_by)
   GROUP BY d.decided_by
$$;
REVOKE ALL ON FUNCTION juggernaut.good_decisions(public.approvals, timestamptz) FROM PUBLIC;

-- Whoever may take a role may have added the task under it. juggernaut_worker adds none by itself: in shared mode it is the swarm.
CREATE FUNCTION juggernaut.behind_role(p_created_by text, p_login text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM pg_catalog.pg_roles g CROSS JOIN pg_catalog.pg_roles r
                  WHERE g.rolname = p_created_by AND NOT g.rolcanlogin AND g.rolname <> 'juggernaut_worker'
                    AND r.rolname = p_login AND pg_catalog.pg_has_role(r.oid, 'juggernaut_owner', 'MEMBER'))
$$;
REVOKE ALL ON FUNCTION juggernaut.behind_role(text, text) FROM PUBLIC;

-- Whoever decided may say it again; the last word of each counts, once.
ALTER TABLE juggernaut.decision_log DROP CONSTRAINT decision_log_pkey,
  ADD CONSTRAINT decision_log_pkey PRIMARY KEY (approval_id, asked_at, decided_by, decision, decided_at);
CREATE OR REPLACE VIEW juggernaut.decisions AS
  SELECT d.approval_id, d.decided_by, d.decision, d.note, d.decided_at
    FROM juggernaut.decision_log d JOIN public.approvals a ON a.id = d.approval_id AND a.requested_at = d.asked_at
   WHERE NOT EXISTS (SELECT FROM juggernaut.decision_log n
                      WHERE (n.approval_id, n.asked_at, n.decided_by, n.decision) = (d.approval_id, d.asked_at, d.decided_by, d.decision)
                        AND n.decided_at > d.decided_at)
     AND (a.status <> 'pending' OR d.decision <> 'approved'
          OR (d.decided_at > clock_timestamp() - juggernaut.seconds('approval_seconds') AND juggernaut.may_decide(d.decided_by)));
COMMENT ON VIEW juggernaut.decisions IS 'what people said last since an approval was asked for; while it waits, only what still counts';

CREATE OR REPLACE FUNCTION juggernaut.decide(p_task uuid, p_decision text, p_note text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  a public.approvals;
  t public.governance_tasks;
  who text := session_user;
  have integer;
  v_since timestamptz := clock_timestamp() - juggernaut.seconds('approval_seconds');
  v_oldest timestamptz;
BEGIN
  IF juggernaut.acting_kind() NOT IN ('approver', 'operator') THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not decide: only a login of juggernaut_approver may', who),
                              'juggernaut login create approver NAME');
  END IF;
  SELECT * INTO t FROM public.governance_tasks WHERE id = p_task;
  SELECT * INTO a FROM public.approvals WHERE task_id = p_task AND status = 'pending' FOR UPDATE;
  IF a.id IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no open approval request', p_task));
  END IF;
  a.need := greatest(a.need, juggernaut.approvers_of(t));
  IF p_decision = 'approved' THEN
    IF t.created_by IN (who, juggernaut.acting()) OR a.requested_by IN (who, juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('%s proposed task %s and cannot approve it', who, p_task),
                                'another login of juggernaut_approver has to decide');
    END IF;
    IF EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = p_task AND e.login = who) THEN
      PERFORM juggernaut.refuse('JG001', format('%s changed task %s and cannot approve it', who, p_task),
                                'another login of juggernaut_approver has to decide');
    END IF;
    IF juggernaut.behind_role(t.created_by, who) THEN
      PERFORM juggernaut.refuse('JG001', format('task %s was added under the role %s, which %s may take, and so cannot approve it', p_task, t.created_by, who),
                                'another login of juggernaut_approver has to decide');
    END IF;
    IF a.requested_session = who AND 'critical' IN (a.risk_level, t.risk_level) AND juggernaut.threshold('shared_login_critical') IS DISTINCT FROM 1 THEN
      PERFORM juggernaut.refuse('JG001', format('SHARED LOGIN: task %s is critical, and %s runs the worker that asks', p_task, who),
        'give workers a login of their own (juggernaut login create worker NAME), or set threshold shared_login_critical to 1');
    END IF;
  END IF;
  INSERT INTO juggernaut.decision_log (approval_id, asked_at, decided_by, decision, note)
    VALUES (a.id, a.requested_at, who, p_decision, left(coalesce(p_note, ''), 4000)) ON CONFLICT DO NOTHING;
  PERFORM juggernaut.record_event('approval.' || p_decision, p_task::text, NULL,
    jsonb_build_object('gate', a.gate, 'digest', a.digest, 'note', left(coalesce(p_note, ''), 4000)));
  IF p_decision = 'rejected' THEN
    UPDATE public.approvals SET status = 'rejected', decided_at = clock_timestamp() WHERE id = a.id;
    RETURN 'rejected';
  END IF;
  -- It is as old as the oldest decision that it rests on: whatever looks at decided_at sees it end in time.
  SELECT count(*), min(x.said_at) INTO have, v_oldest
    FROM (SELECT d.said_at FROM juggernaut.good_decisions(a, v_since) d ORDER BY d.said_at DESC LIMIT a.need) x;
  UPDATE public.approvals SET need = a.need, status = CASE WHEN have < a.need THEN 'pending' ELSE 'approved' END,
         decided_at = CASE WHEN have < a.need THEN NULL ELSE v_oldest END WHERE id = a.id;
  RETURN CASE WHEN have < a.need THEN 'more' ELSE 'approved' END;
END
$$;

-- Good for the attempts that begin in time, as long as those who said so may still decide.
CREATE OR REPLACE FUNCTION juggernaut.approved(t public.governance_tasks, p_gate text, p_digest text DEFAULT NULL) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = p_gate AND a.status = 'approved'
                    AND a.need >= juggernaut.approvers_of(t) AND a.digest = coalesce(p_digest, a.digest)
                    AND a.decided_at > s.since AND a.need <= (SELECT count(*) FROM juggernaut.good_decisions(a, s.since)))
    FROM (SELECT coalesce((SELECT x.started_at FROM juggernaut.attempts x WHERE x.task_id = t.id AND x.fence = t.fence),
                          clock_timestamp()) - juggernaut.seconds('approval_seconds') AS since) s
$$;

CREATE OR REPLACE FUNCTION juggernaut.forge_review_v1(p_task uuid, p_forge text, p_forge_login text, p_sha text, p_review text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  a public.approvals;
  v_login text;
  v_have integer;
  v_need integer;
  v_since timestamptz := clock_timestamp() - juggernaut.seconds('approval_seconds');
  v_oldest timestamptz;
BEGIN
  IF juggernaut.threshold('forge_reviews_approve') IS DISTINCT FROM 1 THEN
    RETURN 'off';
  END IF;
  SELECT p.login INTO v_login FROM juggernaut.forge_people p WHERE p.forge = p_forge AND p.forge_login = lower(p_forge_login);
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = p_task AND g.status = 'waiting_approval' FOR NO KEY UPDATE;
  SELECT * INTO a FROM public.approvals x WHERE x.task_id = t.id AND x.status = 'pending' AND x.gate = 'diff' FOR UPDATE;
  IF v_login IS NULL OR a.id IS NULL OR a.body ->> 'head' IS DISTINCT FROM p_sha
     OR v_login IN (t.created_by, a.requested_by) OR EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = t.id AND e.login = v_login)
     OR NOT juggernaut.may_decide(v_login) OR juggernaut.behind_role(t.created_by, v_login)
     OR NOT pg_has_role(v_login, 'juggernaut_approver', 'MEMBER') THEN
    RETURN 'no';
  END IF;
  IF EXISTS (SELECT FROM juggernaut.good_decisions(a, v_since) d WHERE d.login = v_login) THEN
    RETURN 'known';
  END IF;
  INSERT INTO juggernaut.decision_log (approval_id, asked_at, decided_by, decision, note)
    VALUES (a.id, a.requested_at, v_login, 'approved', format('review %s by %s at %s, reported by %s', left(p_review, 100), left(p_forge_login, 100), left(p_forge, 40), juggernaut.acting()));
  PERFORM juggernaut.record_event('approval.approved', t.id::text, NULL,
    jsonb_build_object('gate', a.gate, 'digest', a.digest, 'login', v_login, 'review', left(p_review, 100), 'reported_by', juggernaut.acting()));
  v_need := greatest(a.need, juggernaut.approvers_of(t));
  SELECT count(*), min(x.said_at) INTO v_have, v_oldest
    FROM (SELECT d.said_at FROM juggernaut.good_decisions(a, v_since) d ORDER BY d.said_at DESC LIMIT v_need) x;
  IF v_have < v_need THEN
    RETURN 'more';
  END IF;
  UPDATE public.approvals x SET need = v_need, status = 'approved', decided_at = v_oldest WHERE x.id = a.id;
  UPDATE public.governance_tasks g SET status = 'pending', fence = g.fence + 1 WHERE g.id = t.id; -- who decided stands in decisions
  RETURN 'approved';
END
$$;

-- What people are shown is why a rule asks, and what others say about it as theirs.
CREATE OR REPLACE FUNCTION juggernaut.pass_gate_v1(p_task uuid, p_fence bigint, p_secret uuid, p_gate text, p_digest text, p_body jsonb,
                                        p_risk text, p_factors text[]) RETURNS TABLE (go boolean, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_risk text;
  v_need integer;
  v_reason text;
  v_by text;
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  v_risk := juggernaut.higher_risk(juggernaut.higher_risk(p_risk, t.risk_level),
                                   (SELECT risk_floor FROM juggernaut.task_types y WHERE y.task_type = t.task_type));
  INSERT INTO juggernaut.plans (task_id, fence, gate, digest, body, risk_level, factors)
    VALUES (t.id, t.fence, p_gate, p_digest, p_body, v_risk, p_factors) ON CONFLICT (task_id, fence, gate) DO NOTHING;
  SELECT greatest(r.approvers, CASE WHEN p_gate = 'plan' AND (t.requires_approval OR (t.tainted AND v_risk <> 'low')) THEN 1 ELSE 0 END) INTO v_need
    FROM juggernaut.risks r WHERE r.risk_level = v_risk;
  UPDATE public.governance_tasks g SET risk_level = v_risk, risk_factors = p_factors, plan_digest = p_digest WHERE g.id = t.id;
  IF v_need = 0 THEN
    RETURN QUERY SELECT true, format('risk %s: no approval needed', v_risk);
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = p_gate AND a.digest = p_digest
                AND a.status = 'approved' AND a.need >= v_need) AND juggernaut.approved(t, p_gate, p_digest) THEN
    RETURN QUERY SELECT true, 'approved';
    RETURN;
  END IF;
  v_reason := format('risk %s%s: %s', v_risk, CASE WHEN t.tainted THEN ', from outside' END,
                     coalesce(nullif(array_to_string(p_factors, '; '), ''), 'an approval is required'));
  -- Whatever was written on the task is somebody's word, and no reason of a rule. The reason of an earlier gate is left out.
  SELECT a.requested_by INTO v_by FROM public.approvals a WHERE a.task_id = t.id AND a.body ->> 'reason' = t.approval_reason ORDER BY a.id DESC LIMIT 1;
  IF v_by IS NOT NULL OR NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.reason = t.approval_reason) THEN
    v_reason := left(v_reason, 1400) || CASE WHEN btrim(t.approval_reason) <> '' THEN
      format('; %s: "%s"', coalesce('asked by ' || v_by, 'somebody wrote on the task'), left(translate(t.approval_reason, E'"\n\r', '''  '), 500)) ELSE '' END;
  END IF;
  v_reason := left(v_reason, 2000);
  UPDATE public.approvals a SET status = 'void', decided_at = clock_timestamp()
   WHERE a.task_id = t.id AND a.status IN ('pending', 'approved') AND a.gate = p_gate AND a.digest <> p_digest;
  INSERT INTO public.approvals (task_id, gate, digest, body, risk_level, factors, reason, need, requested_by)
    VALUES (t.id, p_gate, p_digest, p_body, v_risk, p_factors, v_reason, v_need, juggernaut.acting())
    ON CONFLICT (task_id, gate, digest) DO UPDATE SET status = 'pending', need = excluded.need, risk_level = excluded.risk_level,
      factors = excluded.factors, reason = excluded.reason, decided_at = NULL, requested_at = clock_timestamp();
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'parked', NULL, NULL);
  UPDATE public.governance_tasks g SET status = 'waiting_approval', requires_approval = true, approval_reason = v_reason,
         attempts = g.attempts - 1, assigned_worker = g.assignment, session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN QUERY SELECT false, v_reason;
END
$$;

CREATE OR REPLACE FUNCTION public.request_approval(id uuid, worker_id text, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  t public.governance_tasks;
  v_open bigint;
BEGIN
  PERFORM juggernaut.known_task(request_approval.id);
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = request_approval.id FOR NO KEY UPDATE;
  IF t.status <> 'pending' OR NOT t.ready THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is %s: only a task that could be claimed is asked for', t.id, t.status), 'SELECT * FROM why(id)');
  END IF;
  PERFORM juggernaut.raw_worker(t, request_approval.worker_id);
  -- Asking again would take away what people just gave.
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = 'plan' AND a.status = 'approved'
                AND a.body - 'reason' = juggernaut.raw_body(t) AND a.decided_at > clock_timestamp() - juggernaut.seconds('approval_seconds')
                AND greatest(a.need, juggernaut.approvers_of(t)) <=
                    (SELECT count(*) FROM juggernaut.good_decisions(a, clock_timestamp() - juggernaut.seconds('approval_seconds')))) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is approved as it stands', t.id), 'claim it');
  END IF;
  IF juggernaut.approvers_of(t) = 0 THEN
    SELECT count(*) INTO v_open FROM public.approvals a JOIN juggernaut.risks r ON r.risk_level = a.risk_level
     WHERE a.status = 'pending' AND a.gate = 'plan' AND a.requested_by = juggernaut.acting() AND r.approvers = 0;
    IF v_open >= juggernaut.threshold('asks_at_once') THEN
      PERFORM juggernaut.refuse('JG001', format('%s has %s requests open that no rule calls for: task %s may be worked on without an approval', juggernaut.acting(), v_open, t.id),
                                'claim it, or wait for an answer to the others');
    END IF;
  END IF;
  PERFORM juggernaut.raw_ask(t, request_approval.reason);
  UPDATE public.governance_tasks g SET status = 'waiting_approval', requires_approval = true, fence = g.fence + 1,
         approval_reason = left(request_approval.reason, 2000) WHERE g.id = t.id;
  RETURN 'waiting_approval';
END
$$;

-- A plan becomes tasks, and those are done by others: it is an act, and waits for its gate.
CREATE OR REPLACE FUNCTION juggernaut.propose_tasks_v1(p_task uuid, p_fence bigint, p_secret uuid, p_tasks jsonb) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  made jsonb := '{}';
  item jsonb;
  open_items jsonb := p_tasks;
  next_items jsonb;
  v_id uuid;
  nobody text;
BEGIN
  -- Before the task, as cancel_goal does: plans of one goal count one after the other, and none outlives its cancelling.
  PERFORM FROM public.goals g WHERE g.id = (SELECT x.goal_id FROM public.governance_tasks x WHERE x.id = p_task) FOR NO KEY UPDATE;
  t := juggernaut.held(p_task, p_fence, p_secret);
  IF t.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is not held by this attempt any more', p_task));
  END IF;
  IF EXISTS (SELECT FROM public.governance_tasks c WHERE c.parent_task_id = t.id) THEN
    RETURN QUERY SELECT c.id FROM public.governance_tasks c WHERE c.parent_task_id = t.id ORDER BY c.created_at, c.id;
    RETURN;
  END IF;
  IF juggernaut.approvers_of(t) > 0 AND NOT juggernaut.approved(t, 'plan') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) cannot propose tasks: its plan was not approved', t.id, t.risk_level),
                              'pass the plan gate first');
  END IF;
  IF jsonb_array_length(p_tasks) > juggernaut.threshold('proposal_tasks') THEN
    PERFORM juggernaut.refuse('JG001', format('a plan of %s tasks; at most %s are allowed', jsonb_array_length(p_tasks), juggernaut.threshold('proposal_tasks')));
  END IF;
  IF t.depth + 1 > juggernaut.threshold('task_depth') THEN
    PERFORM juggernaut.refuse('JG001', format('tasks would be nested %s deep', t.depth + 1));
  END IF;
  IF t.goal_id IS NOT NULL AND (SELECT count(*) FROM public.governance_tasks c WHERE c.goal_id = t.goal_id
                                      AND NOT EXISTS (SELECT FROM juggernaut.forks f WHERE f.task_id = c.id)) + jsonb_array_length(p_tasks)
     > juggernaut.threshold('goal_tasks') THEN
    PERFORM juggernaut.refuse('JG001', format('goal %s would have more than %s tasks', t.goal_id, juggernaut.threshold('goal_tasks')));
  END IF;
  SELECT string_agg(DISTINCT coalesce(x.value ->> 'task_type', 'null'), ', ') INTO nobody FROM jsonb_array_elements(p_tasks) x
   WHERE NOT EXISTS (SELECT FROM juggernaut.grants g WHERE g.task_type = x.value ->> 'task_type')
      OR (x.value ->> 'task_type') = 'planning';
  IF nobody IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('no granted role handles: %s', nobody), 'SELECT * FROM juggernaut.grants');
  END IF;
  -- Kahn's order: whatever cannot be placed at the end stands in a cycle or names nothing.
  WHILE jsonb_array_length(open_items) > 0 LOOP
    next_items := '[]';
    FOR item IN SELECT value FROM jsonb_array_elements(open_items) LOOP
      IF EXISTS (SELECT FROM jsonb_array_elements_text(coalesce(item -> 'needs', '[]')) n WHERE NOT made ? n) THEN
        next_items := next_items || jsonb_build_array(item);
        CONTINUE;
      END IF;
      INSERT INTO public.governance_tasks (goal_id, parent_task_id, title, description, task_type, priority, risk_level,
                                           acceptance_criteria, payload, repo, depth, depends_on)
        VALUES (t.goal_id, t.id, item ->> 'title', coalesce(item ->> 'description', ''), item ->> 'task_type',
                coalesce(item ->> 'priority', 'medium'), coalesce(item ->> 'risk', 'low'),
                CASE WHEN jsonb_array_length(coalesce(item -> 'criteria', '[]')) > 0 THEN (item -> 'criteria')::text END,
                coalesce(item -> 'payload', '{}'), t.repo, t.depth + 1,
                ARRAY(SELECT (made ->> n)::uuid FROM jsonb_array_elements_text(coalesce(item -> 'needs', '[]')) n))
        RETURNING id INTO v_id;
      made := made || jsonb_build_object(item ->> 'key', v_id);
      RETURN NEXT v_id;
    END LOOP;
    IF jsonb_array_length(next_items) = jsonb_array_length(open_items) THEN
      PERFORM juggernaut.refuse('JG001', format('tasks need each other in a cycle, or need a task that is not there: %s',
        (SELECT string_agg(x.value ->> 'key', ', ') FROM jsonb_array_elements(next_items) x)));
    END IF;
    open_items := next_items;
  END LOOP;
END
$$;

-- A fork belongs to the goal of its origin: paused, cancelled and paid with it. How the goal ends is
-- counted by the children of its plan, and a fork is none.
CREATE OR REPLACE FUNCTION public.fork_task(id uuid, from_step integer, model text DEFAULT NULL, cassette text DEFAULT NULL, digest text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  o public.governance_tasks;
  v_id uuid := gen_random_uuid();
  v_cassette text := fork_task.cassette;
  v_facts jsonb;
BEGIN
  PERFORM juggernaut.person_only('fork a task');
  PERFORM juggernaut.known_task(fork_task.id);
  SELECT * INTO o FROM public.governance_tasks g WHERE g.id = fork_task.id;
  -- Locked: a goal that is being cancelled at this moment would not see its fork.
  IF (SELECT g.status FROM public.goals g WHERE g.id = o.goal_id FOR SHARE) = 'cancelled' THEN
    PERFORM juggernaut.refuse('JG001', format('task %s: goal %s is cancelled', o.id, o.goal_id), 'add a task of its own');
  END IF;
  IF o.task_type NOT IN ('code', 'documentation') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is of type %s: only the work of the code agent is forked', o.id, o.task_type), 'add a task of its own');
  END IF;
  IF fork_task.from_step IS NULL OR fork_task.from_step NOT BETWEEN 1 AND 10000 THEN
    PERFORM juggernaut.refuse('JG001', format('from_step is %s, and may be 1 to 10000', coalesce(fork_task.from_step::text, 'not given')));
  END IF;
  IF fork_task.model !~ '^[!-~]{1,200}$' THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no name of a model', left(fork_task.model, 80)), 'an alias of models.yaml, or provider/model');
  END IF;
  IF fork_task.digest !~ '^[0-9a-f]{64}$' THEN
    PERFORM juggernaut.refuse('JG001', 'the digest of a cassette is a sha256 in hex');
  END IF;
  IF v_cassette IS NULL THEN
    SELECT o.id || '-' || max(a.fence) || '.jsonl' INTO v_cassette FROM juggernaut.attempts a WHERE a.task_id = o.id;
  END IF;
  IF v_cassette IS NULL OR v_cassette !~ ('^' || o.id || '-[0-9]{1,18}\.jsonl$') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no cassette %s', o.id, coalesce(quote_literal(left(v_cassette, 80)), '(it was never tried)')),
                              'a cassette is called TASK-FENCE.jsonl');
  END IF;
  v_facts := jsonb_build_object('of', o.id, 'from_step', fork_task.from_step, 'cassette', v_cassette, 'digest', fork_task.digest, 'model', fork_task.model);
  INSERT INTO juggernaut.forks (task_id, origin_id, facts, made_by) VALUES (v_id, o.id, v_facts, juggernaut.acting());
  INSERT INTO public.governance_tasks (id, goal_id, parent_task_id, title, description, task_type, priority, risk_level, acceptance_criteria, assigned_worker,
                                       requires_approval, approval_reason, max_attempts, timeout_seconds, budget_usd, payload, concurrency_key, repo, tainted)
    VALUES (v_id, o.goal_id, o.id, o.title, o.description, o.task_type, o.priority, o.risk_level, o.acceptance_criteria, o.assignment,
            o.requires_approval, CASE WHEN o.requires_approval THEN left('as its origin: ' || coalesce(o.approval_reason, 'an approval is required'), 4000) END,
            o.max_attempts, o.timeout_seconds, o.budget_usd, o.payload || jsonb_build_object('fork', v_facts), o.concurrency_key, o.repo, o.tainted);
  PERFORM juggernaut.record_event('task.forked', v_id::text, NULL, v_facts);
  RETURN v_id;
END
$$;

-- Accepting makes a goal of words that a model wrote: what came from outside is from outside in it, too.
CREATE OR REPLACE FUNCTION public.accept_recommendation(id bigint, note text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  r public.recommendations;
  v_goal uuid;
BEGIN
  PERFORM juggernaut.person_only('accept a recommendation');
  SELECT * INTO r FROM public.recommendations x WHERE x.id = accept_recommendation.id FOR UPDATE;
  IF r.id IS NULL OR r.status <> 'proposed' THEN
    PERFORM juggernaut.refuse('JG001', format('recommendation %s is %s', accept_recommendation.id, coalesce(r.status, 'not there')));
  END IF;
  v_goal := public.add_goal(title => r.title, description => r.rationale,
                            repo => (SELECT t.repo FROM public.governance_tasks t WHERE t.id = r.task_id),
                            trusted => NOT (SELECT t.tainted FROM public.governance_tasks t WHERE t.id = r.task_id));
  UPDATE public.recommendations x SET status = 'accepted', decided_by = juggernaut.acting(), decided_at = clock_timestamp(),
         decision_note = accept_recommendation.note, goal_id = v_goal WHERE x.id = r.id;
  RETURN v_goal;
END
$$;

-- Whoever wrote what a schedule says proposes each of its tasks.
ALTER TABLE public.schedules ADD COLUMN authors text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN public.schedules.authors IS 'logins that wrote what it says; none of them approves its tasks';
CREATE FUNCTION juggernaut.schedule_authors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.authors := ARRAY[session_user::text];
  ELSIF (NEW.title, NEW.description, NEW.task_type, NEW.payload, NEW.repo) IS DISTINCT FROM (OLD.title, OLD.description, OLD.task_type, OLD.payload, OLD.repo) THEN
    NEW.authors := array_append(array_remove(OLD.authors, session_user::text), session_user::text);
  ELSE
    NEW.authors := OLD.authors;
  END IF;
  RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.schedule_authors() FROM PUBLIC;
CREATE TRIGGER schedule_authors BEFORE INSERT OR UPDATE ON public.schedules FOR EACH ROW EXECUTE FUNCTION juggernaut.schedule_authors();
ALTER TABLE public.schedules ENABLE ALWAYS TRIGGER schedule_authors;

CREATE OR REPLACE FUNCTION juggernaut.fire_schedule_v1(p_name text, p_scheduled timestamptz, p_next timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  s public.schedules;
  v_id uuid;
  v_said text;
BEGIN
  SELECT * INTO s FROM public.schedules x WHERE x.name = p_name AND x.enabled FOR UPDATE;
  IF s.name IS NULL OR (s.next_run_at IS NOT NULL AND s.next_run_at <> p_scheduled) THEN
    RETURN false;
  END IF;
  IF p_next IS NULL THEN
    UPDATE public.schedules SET enabled = false, disabled_reason = format('cron %L or time zone %L is not valid', cron, time_zone) WHERE name = p_name;
    PERFORM juggernaut.raise_alert('schedule_disabled', p_name, 'error', format('schedule %s is disabled: cron %L or time zone %L is not valid', p_name, s.cron, s.time_zone), '{}');
    RETURN false;
  END IF;
  UPDATE public.schedules SET next_run_at = p_next, last_run_at = CASE WHEN s.next_run_at IS NULL THEN last_run_at ELSE p_scheduled END WHERE name = p_name;
  IF s.next_run_at IS NULL THEN
    RETURN false;
  END IF;
  BEGIN
    INSERT INTO public.governance_tasks (title, description, task_type, priority, payload, repo, dedupe_key)
      VALUES (s.title, s.description, s.task_type, s.priority, s.payload, s.repo, format('schedule:%s:%s', s.name, p_scheduled)) RETURNING id INTO v_id;
  EXCEPTION WHEN SQLSTATE 'JG001' OR unique_violation THEN
    -- One task that may not be is no reason to leave out all that come after it.
    GET STACKED DIAGNOSTICS v_said = MESSAGE_TEXT;
    PERFORM juggernaut.record_event('schedule.skipped', p_name, NULL, jsonb_build_object('scheduled', p_scheduled, 'reason', v_said));
    PERFORM juggernaut.raise_alert('schedule_skipped', p_name, 'error', format('schedule %s made no task at %s: %s', p_name, p_scheduled, v_said), jsonb_build_object('scheduled', p_scheduled));
    RETURN false;
  END;
  INSERT INTO juggernaut.editors (task_id, login)
    SELECT DISTINCT v_id, w FROM unnest(array_append(s.authors, s.created_by)) w ON CONFLICT DO NOTHING;
  RETURN true;
END
$$;

-- Forks of before that still live come back to their goals.
UPDATE public.governance_tasks t SET goal_id = p.goal_id
  FROM juggernaut.forks f JOIN public.governance_tasks p ON p.id = f.origin_id
 WHERE t.id = f.task_id AND t.goal_id IS NULL AND p.goal_id IS NOT NULL AND t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled');
