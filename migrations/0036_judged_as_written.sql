-- What was judged, approved or accepted is the text as it stands: an edit ends the attempt on the old
-- one, a verdict that nobody gave is none, and words of a person are written by that person's function.
SET LOCAL ROLE juggernaut_owner;

-- As before, and a criterion without a verdict, or somebody who accepted it, is not met.
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
  v_open uuid[];
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
    ) h;
  IF v_judged THEN
    -- Judged by a statement of its own, so with the criteria that stand now that the tasks are locked: the
    -- snapshot of the one before may be older than what it waited for.
    WITH judged AS MATERIALIZED (
      SELECT i.task, i.fence, c.number,
             CASE WHEN v.value ->> 'verdict' = 'unmet' THEN 'unmet' WHEN c.accepted_by IS NOT NULL THEN 'met' ELSE coalesce(v.value ->> 'verdict', 'unknown') END AS verdict,
             CASE WHEN v.value ->> 'verdict' IS DISTINCT FROM 'met' AND c.accepted_by IS NOT NULL THEN 'person' ELSE 'verifier' END AS source,
             coalesce(v.value -> 'facts', '{}') || CASE WHEN c.accepted_by IS NULL THEN '{}' ELSE jsonb_build_object('accepted_by', c.accepted_by, 'note', c.accepted_note) END AS facts
        FROM jsonb_to_recordset(p_items) AS i (task uuid, fence bigint, verdicts jsonb)
       CROSS JOIN LATERAL (SELECT * FROM juggernaut.criteria k WHERE k.task_id = i.task OFFSET 0) c
        LEFT JOIN LATERAL jsonb_array_elements(i.verdicts) v ON (v.value ->> 'number')::integer = c.number
       WHERE i.task = ANY (v_good)
    ), unmet AS MATERIALIZED (
      SELECT array_agg(j.task) AS tasks FROM judged j WHERE j.verdict <> 'met'
    ), written AS (
      INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source, facts)
        SELECT j.task, j.fence, j.number, j.verdict, j.source, j.facts FROM judged j WHERE j.task <> ALL (coalesce((SELECT u.tasks FROM unmet u), '{}'))
    )
    SELECT u.tasks INTO v_open FROM unmet u;
    IF v_open IS NOT NULL THEN
      SELECT array_agg(g.id), array_agg(g.place), array_agg(g.try) INTO v_good, v_rows, v_tries
        FROM unnest(v_good, v_rows, v_tries) AS g (id, place, try) WHERE g.id <> ALL (v_open);
    END IF;
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

-- As before; what a person may accept is named by its text.
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
                              format('a person may: SELECT accept_criterion(%L, %s, ''why'', %L)', t.id, open_criterion.number,
                                     (SELECT c.text FROM juggernaut.criteria c WHERE c.task_id = t.id AND c.number = open_criterion.number)));
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

-- What send_back said, in order. Nobody else writes here, so feedback in a payload was said by a person.
CREATE TABLE juggernaut.sent_back (
  task_id uuid NOT NULL,
  round integer NOT NULL,
  said text NOT NULL,
  said_by text NOT NULL,
  said_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (task_id, round)
);
COMMENT ON TABLE juggernaut.sent_back IS 'what people said when they sent a plan or diff back';
CREATE TRIGGER fresh_snapshot BEFORE INSERT OR DELETE OR UPDATE ON juggernaut.sent_back FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.fresh_snapshot();
ALTER TABLE juggernaut.sent_back ENABLE ALWAYS TRIGGER fresh_snapshot;
GRANT SELECT ON juggernaut.sent_back TO juggernaut_worker, juggernaut_plain, juggernaut_approver, juggernaut_reader;
INSERT INTO juggernaut.sent_back (task_id, round, said, said_by, said_at)
  SELECT e.subject::uuid, row_number() OVER (PARTITION BY e.subject ORDER BY e.seq), e.after ->> 'feedback', e.login, e.at
    FROM juggernaut.events e WHERE e.kind = 'task.sent_back';

-- As before, and the same for feedback: the words of a person, which a model obeys. A fork is told
-- what its origin was told.
CREATE OR REPLACE FUNCTION juggernaut.guard_fork() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NEW.payload ? 'fork' AND NEW.payload -> 'fork' IS DISTINCT FROM (SELECT f.facts FROM juggernaut.forks f WHERE f.task_id = NEW.id) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s: a payload does not make a fork', NEW.id), 'SELECT fork_task(id, from_step, model)');
  END IF;
  IF NOT NEW.payload ? 'feedback' THEN
    RETURN NEW;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF NEW.payload -> 'feedback' = OLD.payload -> 'feedback' THEN
      RETURN NEW;
    END IF;
  END IF;
  IF NEW.payload -> 'feedback' IS DISTINCT FROM coalesce(
       (SELECT jsonb_agg(s.said ORDER BY s.round) FROM juggernaut.sent_back s WHERE s.task_id = NEW.id),
       (SELECT o.payload -> 'feedback' FROM juggernaut.forks f JOIN public.governance_tasks o ON o.id = f.origin_id WHERE f.task_id = NEW.id)) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s: a payload does not say what a person said', NEW.id), 'SELECT send_back(id, feedback)');
  END IF;
  RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER guard_fork BEFORE INSERT OR UPDATE OF payload ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.payload ?| '{fork,feedback}') EXECUTE FUNCTION juggernaut.guard_fork();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_fork;

-- As before, and it keeps what it says where nobody else writes.
CREATE OR REPLACE FUNCTION public.send_back(id uuid, feedback text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  t public.governance_tasks;
  v_said text := left(btrim(coalesce(send_back.feedback, '')), 4000);
  v_rounds integer;
BEGIN
  PERFORM juggernaut.person_only('send a plan back');
  PERFORM juggernaut.known_task(send_back.id);
  IF v_said = '' THEN
    PERFORM juggernaut.refuse('JG001', 'sending back needs feedback: say what has to be different');
  END IF;
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = send_back.id FOR UPDATE;
  IF t.status <> 'waiting_approval' THEN
    PERFORM juggernaut.refuse('JG001', format('task %s does not wait for an approval', t.id), 'SELECT * FROM pending_approvals');
  END IF;
  SELECT count(*) INTO v_rounds FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'rejected';
  IF v_rounds >= juggernaut.threshold('feedback_rounds') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s was sent back %s times already', t.id, v_rounds), 'approve_task, reject_task or cancel_task it');
  END IF;
  PERFORM juggernaut.decide(t.id, 'rejected', v_said);
  INSERT INTO juggernaut.sent_back (task_id, round, said, said_by)
    SELECT t.id, count(*) + 1, v_said, juggernaut.acting() FROM juggernaut.sent_back s WHERE s.task_id = t.id;
  UPDATE public.governance_tasks g
     SET status = 'pending', fence = g.fence + 1, approved_by = NULL, approved_at = NULL,
         error_message = format('sent back by %s: %s', juggernaut.acting(), v_said),
         payload = jsonb_set(g.payload, '{feedback}',
                             (SELECT jsonb_agg(s.said ORDER BY s.round) FROM juggernaut.sent_back s WHERE s.task_id = t.id))
   WHERE g.id = t.id;
  PERFORM juggernaut.record_event('task.sent_back', t.id::text, NULL, jsonb_build_object('feedback', v_said, 'round', v_rounds + 1));
  RETURN format('sent back, round %s of %s', v_rounds + 1, juggernaut.threshold('feedback_rounds'));
END
$$;

-- Who changed what is asked for is a proposer, too, and what anybody judged or accepted was the text of
-- before. An attempt on that text is over, approved or not: the task is read, planned and asked for anew.
CREATE OR REPLACE FUNCTION juggernaut.after_edit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  INSERT INTO juggernaut.editors (task_id, login) VALUES (NEW.id, session_user) ON CONFLICT DO NOTHING;
  UPDATE juggernaut.criteria SET accepted_by = NULL, accepted_note = NULL WHERE task_id = NEW.id AND accepted_by IS NOT NULL;
  IF OLD.status = 'in_progress' AND NEW.status = 'in_progress' THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp()
     WHERE task_id = NEW.id AND status IN ('pending', 'approved');
    PERFORM juggernaut.end_attempt(NEW.id, NEW.fence, 'released', 'changed', format('%s changed the task while it was worked on', session_user));
    UPDATE public.governance_tasks g SET status = 'pending', fence = g.fence + 1, attempts = greatest(g.attempts - 1, 0), run_after = NULL,
           assigned_worker = g.assignment, approved_by = NULL, approved_at = NULL,
           session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
     WHERE g.id = NEW.id;
  END IF;
  RETURN NULL;
END
$$;
-- What send_back adds is no edit of who decided; a fence is written by functions alone, never by a login.
CREATE OR REPLACE TRIGGER follow_edit AFTER UPDATE OF title, description, task_type, acceptance_criteria, payload, repo ON public.governance_tasks FOR EACH ROW
  WHEN ((OLD.title, OLD.description, OLD.task_type, OLD.acceptance_criteria, OLD.repo) IS DISTINCT FROM (NEW.title, NEW.description, NEW.task_type, NEW.acceptance_criteria, NEW.repo)
        OR (OLD.payload IS DISTINCT FROM NEW.payload
            AND NOT (OLD.status = 'waiting_approval' AND NEW.status = 'pending' AND NEW.fence > OLD.fence AND OLD.payload - 'feedback' = NEW.payload - 'feedback')))
  EXECUTE FUNCTION juggernaut.after_edit();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER follow_edit;

-- As before; with the text that was read, it accepts that text and no other.
DROP FUNCTION public.accept_criterion(uuid, integer, text);
CREATE FUNCTION public.accept_criterion(task_id uuid, number integer, note text, criterion text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  t public.governance_tasks;
  v_text text;
BEGIN
  PERFORM juggernaut.person_only('accept a criterion');
  SELECT * INTO t FROM public.governance_tasks x WHERE x.id = accept_criterion.task_id FOR NO KEY UPDATE;
  IF t.status IN ('completed', 'rejected', 'cancelled') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is %s, and that is final', t.id, t.status));
  END IF;
  IF coalesce(btrim(accept_criterion.note), '') = '' THEN
    PERFORM juggernaut.refuse('JG001', 'accepting a criterion needs a note: say what you looked at');
  END IF;
  IF juggernaut.acting_kind() <> 'operator' AND (juggernaut.acting() = t.created_by
     OR EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = t.id AND e.login = session_user)) THEN
    PERFORM juggernaut.refuse('JG001', 'who created or changed the task cannot accept its criteria');
  END IF;
  SELECT c.text INTO v_text FROM juggernaut.criteria c WHERE c.task_id = accept_criterion.task_id AND c.number = accept_criterion.number;
  IF v_text <> accept_criterion.criterion THEN
    PERFORM juggernaut.refuse('JG001', format('criterion %s of task %s says something else now: %s', accept_criterion.number, t.id, left(v_text, 500)),
                              'read it again, and accept what it says');
  END IF;
  UPDATE juggernaut.criteria c SET accepted_by = juggernaut.acting(), accepted_note = left(accept_criterion.note, 2000)
   WHERE c.task_id = accept_criterion.task_id AND c.number = accept_criterion.number;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no criterion %s', accept_criterion.task_id, accept_criterion.number));
  END IF;
  PERFORM juggernaut.record_event('criterion.accepted', accept_criterion.task_id::text, NULL,
    jsonb_build_object('number', accept_criterion.number, 'note', left(accept_criterion.note, 2000)));
  UPDATE public.governance_tasks x SET status = 'pending' WHERE x.id = accept_criterion.task_id AND x.status = 'blocked' AND x.waits = 0;
  RETURN 'accepted';
END
$$;
REVOKE ALL ON FUNCTION public.accept_criterion(uuid, integer, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.accept_criterion(uuid, integer, text, text) TO juggernaut_approver;

-- As before, and a type's floor counts at once: also for a row that came in while it was being raised.
CREATE OR REPLACE FUNCTION juggernaut.approvers_of(t public.governance_tasks) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT greatest(max(r.approvers), CASE WHEN t.requires_approval OR (t.tainted AND t.risk_level <> 'low') THEN 1 ELSE 0 END)
    FROM juggernaut.risks r
   WHERE r.risk_level IN (t.risk_level, (SELECT y.risk_floor FROM juggernaut.task_types y WHERE y.task_type = t.task_type))
$$;

-- Evidence of a merge is of the diff that people approved, and of the merge that the ledger knows. As
-- before a merge, a plan's approval covers a diff that is not high by itself, except for critical work.
CREATE FUNCTION juggernaut.foreign_merge(t public.governance_tasks) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_facts jsonb;
  v_risk text;
BEGIN
  SELECT e.facts INTO v_facts FROM juggernaut.evidence e
    JOIN juggernaut.task_types y ON y.task_type = t.task_type AND y.required_facts && '{head_sha,merged_sha}'
   WHERE e.id = t.evidence_id AND e.source = 'verifier';
  IF v_facts IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT p.risk_level INTO v_risk FROM juggernaut.plans p WHERE p.task_id = t.id AND p.fence = t.fence AND p.gate = 'diff';
  IF (t.risk_level = 'critical' OR v_risk IN ('high', 'critical') OR NOT juggernaut.approved(t, 'plan'))
     AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = 'diff' AND a.status = 'approved'
                        AND a.body ->> 'head' = v_facts ->> 'head_sha' AND juggernaut.approved(t, 'diff', a.digest)) THEN
    RETURN format('the diff of head %s was not approved', left(v_facts ->> 'head_sha', 64));
  END IF;
  IF EXISTS (SELECT FROM juggernaut.effects f WHERE f.task_id = t.id AND f.kind = 'merge' AND f.state = 'confirmed' AND f.result ->> 'merged_sha' IS NOT NULL)
     AND NOT EXISTS (SELECT FROM juggernaut.effects f WHERE f.task_id = t.id AND f.kind = 'merge' AND f.state = 'confirmed'
                        AND f.result ->> 'merged_sha' = v_facts ->> 'merged_sha' AND f.request ->> 'expected' IS NOT DISTINCT FROM v_facts ->> 'head_sha') THEN
    RETURN format('head %s was not merged as %s', left(v_facts ->> 'head_sha', 64), left(v_facts ->> 'merged_sha', 64));
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.foreign_merge(public.governance_tasks) FROM PUBLIC;

-- As before, and of what was approved. Medium is asked too, because a policy may want approvers of it;
-- low is not, so that the end of what changes nothing costs no look at the policy.
CREATE OR REPLACE FUNCTION juggernaut.guard_end() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_foreign text;
  v_need integer := juggernaut.approvers_of(NEW);
BEGIN
  IF v_need > 0 AND NOT juggernaut.approved(NEW, 'plan') AND NOT juggernaut.approved(NEW, 'diff') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) cannot be completed: neither plan nor diff was approved', NEW.id, NEW.risk_level),
                              'pass the plan gate first');
  END IF;
  IF NEW.task_type NOT IN ('code', 'test', 'verification', 'documentation', 'command') THEN
    SELECT juggernaut.foreign_fact(e.task_id, NEW.task_type, e.facts) INTO v_foreign
      FROM juggernaut.evidence e WHERE e.id = NEW.evidence_id AND e.source = 'verifier';
    IF v_foreign IS NOT NULL THEN
      PERFORM juggernaut.refuse('JG001', format('evidence for task %s: its %s names what is not of this task', NEW.id, v_foreign));
    END IF;
  END IF;
  IF v_need > 0 THEN
    v_foreign := juggernaut.foreign_merge(NEW);
    IF v_foreign IS NOT NULL THEN
      PERFORM juggernaut.refuse('JG001', format('evidence for task %s: %s', NEW.id, v_foreign), 'pass the diff gate with the head that is merged');
    END IF;
  END IF;
  RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER guard_words_end BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.status = 'completed' AND OLD.status <> 'completed'
        AND (NEW.requires_approval OR NEW.tainted OR NEW.risk_level <> 'low'
             OR NEW.task_type NOT IN ('code', 'test', 'verification', 'documentation', 'command')))
  EXECUTE FUNCTION juggernaut.guard_end();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_words_end;

-- As before, and open tasks are held to the floor that their type has now.
CREATE OR REPLACE FUNCTION public.apply_policy(version text, digest text, body jsonb, only_first boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  wrong text;
  v_number bigint;
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not apply a policy: an operator does that', juggernaut.acting()));
  END IF;
  LOCK TABLE juggernaut.policy_versions IN SHARE ROW EXCLUSIVE MODE;
  IF only_first AND EXISTS (SELECT FROM juggernaut.policy_versions) THEN
    RETURN NULL;
  END IF;
  SELECT string_agg(f.key, ', ' ORDER BY f.key) INTO wrong FROM jsonb_each_text(apply_policy.body -> 'floors') f
   WHERE NOT EXISTS (SELECT FROM juggernaut.task_types y WHERE y.task_type = f.key)
      OR NOT EXISTS (SELECT FROM juggernaut.risks r WHERE r.risk_level = f.value);
  IF wrong IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('floors of unknown task types or risks: %s', wrong), 'SELECT task_type FROM juggernaut.task_types');
  END IF;
  UPDATE juggernaut.risks r SET approvers = (apply_policy.body -> 'approvers' ->> r.risk_level)::smallint
   WHERE apply_policy.body -> 'approvers' ? r.risk_level
     AND r.approvers <> (apply_policy.body -> 'approvers' ->> r.risk_level)::smallint;
  IF EXISTS (SELECT FROM juggernaut.risks a JOIN juggernaut.risks b ON a.rank < b.rank WHERE a.approvers > b.approvers) THEN
    PERFORM juggernaut.refuse('JG001', 'more risk must not need fewer approvers');
  END IF;
  UPDATE juggernaut.task_types y SET risk_floor = apply_policy.body -> 'floors' ->> y.task_type
   WHERE apply_policy.body -> 'floors' ? y.task_type AND y.risk_floor <> apply_policy.body -> 'floors' ->> y.task_type;
  -- What is not at its end rises with its type, and never falls; audit_edit writes the event of each.
  UPDATE public.governance_tasks g SET risk_level = x.risk_floor
    FROM (SELECT t.id, y.risk_floor FROM public.governance_tasks t
            JOIN juggernaut.task_types y ON y.task_type = t.task_type JOIN juggernaut.risks f ON f.risk_level = y.risk_floor
            JOIN juggernaut.risks r ON r.risk_level = t.risk_level AND r.rank < f.rank
           WHERE t.status NOT IN ('completed', 'rejected', 'cancelled') ORDER BY t.id FOR NO KEY UPDATE OF t) x
   WHERE g.id = x.id;
  INSERT INTO juggernaut.policy_versions (version, digest, body, applied_by)
    VALUES (apply_policy.version, apply_policy.digest, apply_policy.body, juggernaut.acting()) RETURNING number INTO v_number;
  PERFORM juggernaut.record_event('policy.applied', v_number::text, NULL,
    jsonb_build_object('version', apply_policy.version, 'digest', apply_policy.digest));
  RETURN v_number;
END
$$;
