-- Bounds of what a worker's login may write: the size of what it says, the time that it puts a task
-- off, how often it gives one back, and whose repository, pull request, branch and name it speaks of.
SET LOCAL ROLE juggernaut_owner;

INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('free_releases', 20, 'times', 'a task that was given back so often within a day pays for each further time with an attempt'),
  ('asks_at_once', 10, 'tasks', 'a login has at most so many requests open for approvals that no rule calls for');

-- Footprints ----------------------------------------------------------------------------------------
-- The repository that a task may speak of: its own. Where it names none the worker's default counts,
-- and only for a task whose proof is a merge.
CREATE FUNCTION juggernaut.repo_of(t public.governance_tasks, p_repo text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF t.repo IS DISTINCT FROM p_repo
     AND (t.repo IS NOT NULL OR NOT EXISTS (SELECT FROM juggernaut.task_types y WHERE y.task_type = t.task_type AND 'merged_sha' = ANY (y.required_facts))) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is about %s, not about %L', t.id, coalesce(quote_literal(left(t.repo, 200)), 'no repository'), left(p_repo, 200)),
                              'governance_tasks.repo says which');
  END IF;
  RETURN p_repo;
END
$$;

CREATE FUNCTION juggernaut.bounded_paths(p_files text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_files text[] := ARRAY(SELECT f FROM unnest(p_files) WITH ORDINALITY u (f, n) WHERE f IS NOT NULL ORDER BY n LIMIT 200);
  v_longest integer := (SELECT max(length(f)) FROM unnest(v_files) f);
BEGIN
  IF v_longest > 4096 THEN
    PERFORM juggernaut.refuse('JG001', format('a path has %s characters, and may have 4096', v_longest));
  END IF;
  RETURN v_files;
END
$$;

-- Whether a pattern takes in a path. One that is too long or too rich to be worth the time counts by
-- its beginning, and one that no expression can be made of takes in everything.
CREATE FUNCTION juggernaut.path_fits(p_path text, p_pattern text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NOT starts_with(p_path, substring(p_pattern FROM '^[^*?]*')) THEN
    RETURN false;
  END IF;
  IF length(p_pattern) > 400 OR length(p_pattern) - length(translate(p_pattern, '*?', '')) > 20 THEN
    RETURN true;
  END IF;
  RETURN p_path ~ juggernaut.path_pattern(p_pattern);
EXCEPTION WHEN invalid_regular_expression THEN
  RETURN true;
END
$$;
CREATE OR REPLACE FUNCTION juggernaut.paths_meet(a text, b text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT CASE
    WHEN a !~ '[*?]' AND b !~ '[*?]' THEN a = b OR starts_with(b, rtrim(a, '/') || '/') OR starts_with(a, rtrim(b, '/') || '/')
    WHEN a !~ '[*?]' THEN juggernaut.path_fits(a, b) OR starts_with(substring(b FROM '^[^*?]*'), rtrim(a, '/') || '/')
    WHEN b !~ '[*?]' THEN juggernaut.path_fits(b, a) OR starts_with(substring(a FROM '^[^*?]*'), rtrim(b, '/') || '/')
    ELSE starts_with(substring(a FROM '^[^*?]*'), substring(b FROM '^[^*?]*')) OR starts_with(substring(b FROM '^[^*?]*'), substring(a FROM '^[^*?]*'))
  END
$$;

-- Putting off is no giving back: it has its own bound.
CREATE OR REPLACE FUNCTION juggernaut.begin_files_v1(p_task uuid, p_fence bigint, p_secret uuid, p_repo text, p_files text[]) RETURNS TABLE (go boolean, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_repo text;
  v_files text[];
  other record;
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  v_repo := juggernaut.repo_of(t, p_repo);
  v_files := juggernaut.bounded_paths(p_files);
  INSERT INTO juggernaut.trains (repo) VALUES (v_repo) ON CONFLICT (repo) DO NOTHING;
  PERFORM FROM juggernaut.trains r WHERE r.repo = v_repo FOR UPDATE; -- two that begin at once see each other
  INSERT INTO juggernaut.footprints AS f (task_id, repo, planned) VALUES (t.id, v_repo, v_files)
    ON CONFLICT ON CONSTRAINT footprints_pkey DO UPDATE SET repo = excluded.repo, planned = excluded.planned, began = false;
  SELECT g.id, g.title INTO other
    FROM juggernaut.footprints f JOIN public.governance_tasks g ON g.id = f.task_id
   WHERE f.repo = v_repo AND f.task_id <> t.id
     AND ((g.status = 'in_progress' AND f.began) OR (g.status = 'pending' AND f.deferrals > 0 AND (g.created_at, g.id) < (t.created_at, t.id)))
     AND EXISTS (SELECT FROM unnest(f.planned || f.actual) a CROSS JOIN unnest(v_files) b WHERE juggernaut.paths_meet(a, b))
   ORDER BY g.created_at, g.id LIMIT 1;
  IF other.id IS NULL OR (SELECT f.deferrals FROM juggernaut.footprints f WHERE f.task_id = t.id) >= juggernaut.threshold('footprint_deferrals') THEN
    UPDATE juggernaut.footprints f SET began = true, deferrals = 0, waits_for = NULL WHERE f.task_id = t.id;
    RETURN QUERY SELECT true, ''::text;
    RETURN;
  END IF;
  UPDATE juggernaut.footprints f SET deferrals = f.deferrals + 1, waits_for = other.id WHERE f.task_id = t.id;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'released', 'same_files', format('task %s works on the same files', other.id));
  UPDATE public.governance_tasks g SET status = 'pending', attempts = g.attempts - 1, assigned_worker = g.assignment,
         run_after = clock_timestamp() + juggernaut.seconds('footprint_seconds'),
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN QUERY SELECT false, format('task %s "%s" works on the same files', other.id, left(other.title, 60));
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.note_files_v1(p_task uuid, p_fence bigint, p_secret uuid, p_repo text, p_files text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO juggernaut.footprints (task_id, repo, actual, began) VALUES (t.id, juggernaut.repo_of(t, p_repo), juggernaut.bounded_paths(p_files), true)
    ON CONFLICT (task_id) DO UPDATE SET repo = excluded.repo, actual = excluded.actual, began = true;
  RETURN true;
END
$$;

-- Pull requests -------------------------------------------------------------------------------------
-- A turn in the train of one's own repository, and a watch over the branch of one's own task: who
-- tidies up later acts on what stands there.
CREATE OR REPLACE FUNCTION juggernaut.take_turn_v1(p_task uuid, p_fence bigint, p_secret uuid, p_repo text) RETURNS TABLE (holder uuid, title text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_repo text;
  v_holder uuid;
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  v_repo := juggernaut.repo_of(t, p_repo);
  INSERT INTO juggernaut.trains (repo) VALUES (v_repo) ON CONFLICT (repo) DO NOTHING;
  PERFORM FROM juggernaut.trains r WHERE r.repo = v_repo FOR UPDATE;
  v_holder := coalesce(juggernaut.turn_of(v_repo), t.id);
  IF v_holder = t.id THEN
    UPDATE juggernaut.trains r SET task_id = t.id, until = clock_timestamp() + juggernaut.seconds('train_seconds') WHERE r.repo = v_repo;
  END IF;
  RETURN QUERY SELECT g.id, g.title FROM public.governance_tasks g WHERE g.id = v_holder;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.note_pull_v1(p_task uuid, p_fence bigint, p_secret uuid, p_repo text, p_branch text, p_number bigint, p_head text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN false;
  END IF;
  IF p_branch IS DISTINCT FROM 'feature/' || t.id THEN
    PERFORM juggernaut.refuse('JG001', format('%L is not the branch of task %s', left(p_branch, 200), t.id), format('it is feature/%s', t.id));
  END IF;
  INSERT INTO juggernaut.pull_watches (task_id, repo, branch, number, head) VALUES (t.id, juggernaut.repo_of(t, p_repo), p_branch, p_number, p_head)
    ON CONFLICT (task_id) DO UPDATE SET repo = excluded.repo, branch = excluded.branch, number = excluded.number, head = excluded.head, waiting = false;
  RETURN true;
END
$$;

-- A pull request of the local forge belongs to whoever holds the task of its branch; while nobody
-- does, and where there is no task, to the login that opened it. Any worker may close what was given
-- up, and write down that the base has the merge which was intended ('settle').
CREATE FUNCTION juggernaut.own_pull(p_branch text, p_opened_by text, p_move text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
BEGIN
  IF juggernaut.acting_kind() <> 'worker' THEN
    RETURN;
  END IF;
  SELECT * INTO t FROM public.governance_tasks g
   WHERE g.id = CASE WHEN p_branch ~ '^feature/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN substr(p_branch, 9)::uuid END;
  IF t.lease_login = juggernaut.acting() OR (t.lease_login IS NULL AND (p_opened_by = juggernaut.acting()
       OR (p_move = 'close' AND t.status IN ('cancelled', 'rejected')) OR (p_move = 'settle' AND t.id IS NOT NULL))) THEN
    RETURN;
  END IF;
  PERFORM juggernaut.refuse('JG001', format('the pull request of branch %s belongs to another login', p_branch),
                            'who holds its task may move it');
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.pull_open_v2(
  p_repo text, p_head_branch text, p_base_branch text, p_title text, p_body text, p_head_sha text, p_draft boolean
) RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  before_this bigint := coalesce((SELECT max(p.number) FROM juggernaut.pull_requests p WHERE p.repo = p_repo), 0);
  found_row juggernaut.pull_requests;
BEGIN
  PERFORM juggernaut.own_pull(p_head_branch, juggernaut.acting(), 'open');
  SELECT * INTO found_row FROM juggernaut.pull_open_v1(p_repo, p_head_branch, p_base_branch, p_title, p_body, p_head_sha);
  IF found_row.number > before_this AND p_draft THEN
    UPDATE juggernaut.pull_requests p SET draft = true WHERE p.number = found_row.number AND p.state = 'open' RETURNING * INTO found_row;
  END IF;
  RETURN NEXT found_row;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.pull_intend_v1(p_repo text, p_number bigint, p_head_sha text, p_merge_sha text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.own_pull(p.head_branch, p.opened_by, 'merge')
     FROM juggernaut.pull_requests p WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open';
  UPDATE juggernaut.pull_requests p SET head_sha = p_head_sha, intended_sha = p_merge_sha
  WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open';
  RETURN FOUND;
EXCEPTION WHEN unique_violation THEN
  RETURN false; -- this head was merged by another pull request
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.pull_confirm_v1(p_repo text, p_number bigint, p_merge_sha text)
RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.own_pull(p.head_branch, p.opened_by, 'settle')
     FROM juggernaut.pull_requests p WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open' AND p.intended_sha = p_merge_sha;
  UPDATE juggernaut.pull_requests p
  SET state = 'merged', merged_sha = p_merge_sha, merged_at = pg_catalog.clock_timestamp(), draft = false, ended_by = juggernaut.acting()
  WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open' AND p.intended_sha = p_merge_sha;
  RETURN QUERY SELECT * FROM juggernaut.pull_requests p
  WHERE p.number = p_number AND p.repo = p_repo AND p.merged_sha = p_merge_sha;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.pull_close_v1(p_repo text, p_number bigint, p_reason text) RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.own_pull(p.head_branch, p.opened_by, 'close')
     FROM juggernaut.pull_requests p WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open';
  UPDATE juggernaut.pull_requests p SET state = 'closed', ended_by = juggernaut.acting()
   WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open';
  IF FOUND THEN
    PERFORM juggernaut.pull_say_v1(p_repo, p_number, 'closed', p_reason, NULL);
  END IF;
  RETURN QUERY SELECT * FROM juggernaut.pull_requests p WHERE p.repo = p_repo AND p.number = p_number;
END
$$;

-- The end of an attempt -----------------------------------------------------------------------------
CREATE OR REPLACE FUNCTION juggernaut.fail_v1(p_task uuid, p_fence bigint, p_secret uuid, p_code text, p_message text, p_retry_after numeric)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_code text := left(p_code, 64);
  v_pause numeric := least(greatest(p_retry_after, 0), 86400);
  again boolean;
BEGIN
  IF t.id IS NULL THEN
    RETURN (SELECT CASE juggernaut.ended_as(p_task, p_fence, p_secret) WHEN 'retry' THEN 'pending' WHEN 'failed' THEN 'failed' END);
  END IF;
  again := p_retry_after IS NOT NULL AND t.attempts < t.max_attempts;
  PERFORM juggernaut.end_attempt(t.id, t.fence, CASE WHEN again THEN 'retry' ELSE 'failed' END, v_code, p_message);
  UPDATE public.governance_tasks g
     SET status = CASE WHEN again THEN 'pending' ELSE 'failed' END, error_message = left(v_code || ': ' || p_message, 16000),
         run_after = CASE WHEN again THEN clock_timestamp() + make_interval(secs => v_pause::float8) END,
         completed_at = CASE WHEN again THEN NULL ELSE clock_timestamp() END,
         assigned_worker = CASE WHEN again THEN g.assignment ELSE g.assigned_worker END,
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  IF NOT again THEN
    PERFORM juggernaut.raise_alert('task_failed', t.id::text, 'error', format('task "%s" failed after %s attempts', t.title, t.attempts),
                                   jsonb_build_object('task_id', t.id, 'code', v_code, 'message', left(p_message, 1000)));
  END IF;
  RETURN CASE WHEN again THEN 'pending' ELSE 'failed' END;
END
$$;

-- Giving back is for a worker that stops. Done again and again it would be work without an end.
CREATE FUNCTION juggernaut.release_is_free(p_task uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT count(*) < juggernaut.threshold('free_releases') FROM juggernaut.attempts a
   WHERE a.task_id = p_task AND a.ended_as = 'released' AND coalesce(a.error_code, 'released') = 'released' AND a.ended_at > clock_timestamp() - interval '1 day'
$$;

CREATE OR REPLACE FUNCTION juggernaut.release_v1(p_task uuid, p_fence bigint, p_secret uuid, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_free boolean;
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) = 'released', false);
  END IF;
  v_free := juggernaut.release_is_free(t.id);
  IF NOT v_free AND t.attempts >= t.max_attempts THEN
    RETURN juggernaut.fail_v1(p_task, p_fence, p_secret, 'released', 'given back too often: ' || coalesce(p_reason, ''), NULL) = 'failed';
  END IF;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'released', 'released', p_reason);
  UPDATE public.governance_tasks g SET status = 'pending', attempts = g.attempts - CASE WHEN v_free THEN 1 ELSE 0 END,
         run_after = NULL, assigned_worker = g.assignment,
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN true;
END
$$;

-- Plain SQL -----------------------------------------------------------------------------------------
-- What the law owns is its own at a claim and at an end, whatever the statement says.
CREATE OR REPLACE FUNCTION juggernaut.raw_claim(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  w public.worker_registry;
BEGIN
  IF NOT old.ready THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is not claimable yet: %s', old.id,
      CASE WHEN old.waits > 0 THEN 'it needs other tasks' ELSE 'it is not due' END));
  END IF;
  w := juggernaut.raw_worker(old, new.assigned_worker);
  IF juggernaut.approvers_of(old) > 0 AND NOT EXISTS (
       SELECT FROM public.approvals a WHERE a.task_id = old.id AND a.gate = 'plan' AND a.status = 'approved'
          AND a.need >= juggernaut.approvers_of(old) AND a.body - 'reason' = juggernaut.raw_body(old)
          AND a.digest = encode(sha256(convert_to(a.body::text, 'UTF8')), 'hex')
          AND a.decided_at > clock_timestamp() - juggernaut.seconds('approval_seconds')) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) needs an approval of what it says now', old.id, old.risk_level),
                              format('SELECT request_approval(%L, %L, ''why'')', old.id, w.worker_id));
  END IF;
  UPDATE juggernaut.sessions SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + juggernaut.seconds('raw_session_seconds')
   WHERE id = w.instance_id AND secret_hash IS NULL AND closed_at IS NULL;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s has no open plain-SQL session', w.worker_id),
                              'register it again in worker_registry');
  END IF;
  new.fence := old.fence + 1;
  new.attempts := old.attempts + 1;
  new.started_at := clock_timestamp();
  new.session_id := w.instance_id;
  new.lease_login := juggernaut.acting();
  new.lease_hash := NULL;
  new.lease_until := clock_timestamp() + make_interval(secs => old.timeout_seconds) + juggernaut.seconds('timeout_grace_seconds');
  new.error_message := NULL;
  new.completed_at := NULL;
  new.completion_evidence := NULL;
  new.requires_approval := old.requires_approval;
  new.approval_reason := old.approval_reason;
  INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login)
    VALUES (new.id, new.fence, new.session_id, w.worker_id, juggernaut.acting());
  RETURN new;
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

CREATE OR REPLACE FUNCTION juggernaut.raw_finish(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  ended text;
BEGIN
  IF old.lease_hash IS NOT NULL OR old.lease_login <> juggernaut.acting() THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is held by another attempt', old.id));
  END IF;
  IF old.lease_until <= clock_timestamp() OR NOT EXISTS (
       SELECT FROM juggernaut.sessions s WHERE s.id = old.session_id AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()) THEN
    PERFORM juggernaut.refuse('JG003', format('the lease of task %s is over', old.id), 'claim it again');
  END IF;
  IF new.status = 'completed' THEN
    IF new.completion_evidence IS NULL OR length(btrim(new.completion_evidence)) < 40 THEN
      PERFORM juggernaut.refuse('JG001', format('task %s cannot be completed without evidence', old.id),
        format('completion_evidence must state facts for %s: %s', old.task_type,
               (SELECT array_to_string(required_facts, ', ') FROM juggernaut.task_types WHERE task_type = old.task_type)));
    END IF;
    new := juggernaut.self_reported(old, new);
    ended := new.status;
  ELSIF new.status = 'failed' THEN
    IF new.error_message IS NULL OR length(btrim(new.error_message)) = 0 THEN
      PERFORM juggernaut.refuse('JG001', 'failed needs an error_message');
    END IF;
    new.completed_at := clock_timestamp();
    ended := 'failed';
  ELSIF new.status = 'waiting_approval' THEN
    PERFORM juggernaut.raw_ask(old, new.approval_reason);
    new.requires_approval := true;
    new.attempts := old.attempts - 1;
    ended := 'parked';
  ELSIF juggernaut.release_is_free(old.id) THEN
    new.attempts := old.attempts - 1;
    ended := 'released';
  ELSIF old.attempts < old.max_attempts THEN
    ended := 'released';
  ELSE
    new.status := 'failed';
    new.error_message := left('given back too often: ' || coalesce(new.error_message, ''), 16000);
    new.completed_at := clock_timestamp();
    ended := 'failed';
  END IF;
  new.started_at := old.started_at;
  IF ended IN ('parked', 'released') THEN
    new.completed_at := NULL;
    new.completion_evidence := NULL;
  END IF;
  new.approval_reason := left(new.approval_reason, 2000);
  new.session_id := NULL; new.lease_login := NULL; new.lease_until := NULL;
  new.assigned_worker := CASE WHEN ended IN ('parked', 'released') THEN old.assignment ELSE old.assigned_worker END;
  UPDATE juggernaut.attempts SET ended_at = clock_timestamp(), ended_as = ended, error_message = new.error_message
   WHERE task_id = old.id AND fence = old.fence;
  RETURN new;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.guard_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NEW.approved_by IS DISTINCT FROM OLD.approved_by AND NEW.approved_by IS NOT NULL THEN
    IF OLD.status = 'waiting_approval' AND NEW.status = 'waiting_approval' THEN
      NEW.approved_by := OLD.approved_by; -- one more person has to approve
    ELSIF NOT (OLD.status = 'waiting_approval' AND NEW.status IN ('pending', 'rejected') AND NEW.approved_by = juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('task %s is %s: it does not wait for an approval', OLD.id, OLD.status), 'SELECT * FROM pending_approvals');
    END IF;
  END IF;
  IF OLD.status = NEW.status AND OLD.status IN ('completed', 'rejected', 'cancelled') THEN
    IF (NEW.error_message, NEW.completion_evidence, NEW.result, NEW.completed_at) IS DISTINCT FROM (OLD.error_message, OLD.completion_evidence, OLD.result, OLD.completed_at) THEN
      PERFORM juggernaut.refuse('JG001', format('task %s is %s, and that is final', OLD.id, OLD.status));
    END IF;
  END IF;
  IF juggernaut.acting_kind() = 'worker' THEN
    IF OLD.requires_approval AND NOT NEW.requires_approval THEN
      PERFORM juggernaut.refuse('JG001', format('task %s needs an approval, and no worker takes that away', OLD.id));
    END IF;
    IF OLD.status = 'in_progress' AND NEW.status = OLD.status AND NEW.fence = OLD.fence THEN
      IF NEW.assigned_worker IS DISTINCT FROM OLD.assigned_worker THEN
        PERFORM juggernaut.refuse('JG001', format('task %s is held by %s and cannot be handed on', OLD.id, OLD.assigned_worker));
      END IF;
      NEW.started_at := OLD.started_at;
      NEW.completed_at := OLD.completed_at;
      NEW.approval_reason := left(NEW.approval_reason, 2000);
    END IF;
  END IF;
  RETURN NEW;
END
$$;

-- A worker takes what is assigned to its own name, so no worker has the name of another kind.
CREATE OR REPLACE FUNCTION juggernaut.guard_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM juggernaut.login_types y WHERE y.login = NEW.login)
     AND NOT EXISTS (SELECT FROM juggernaut.login_types y WHERE y.login = NEW.login AND y.worker_type = NEW.worker_type) THEN
    PERFORM juggernaut.refuse('JG001', format('login %s may not work as %L', NEW.login, NEW.worker_type),
                              'an operator may: SELECT limit_login(login, kinds)');
  END IF;
  IF NEW.worker_id <> NEW.worker_type
     AND (NEW.worker_id IN ('orchestrator', 'executor', 'watchdog', 'analyst', 'strategist')
          OR EXISTS (SELECT FROM juggernaut.grants g WHERE g.worker_type = NEW.worker_id)
          OR EXISTS (SELECT FROM juggernaut.login_types y WHERE y.worker_type = NEW.worker_id)) THEN
    PERFORM juggernaut.refuse('JG001', format('%L is a kind of worker: one of kind %L may not have it as its name', NEW.worker_id, NEW.worker_type), 'choose another worker_id');
  END IF;
  RETURN NEW;
END
$$;
