-- A pull request of the local forge belongs to its task from the first move to the last: who opens
-- it, into which base, at which head, with whose checks, and whether it may be merged. And what a
-- worker's login says again and again, or in the wrong form, has its bounds.
SET LOCAL ROLE juggernaut_owner;

-- Pull requests -------------------------------------------------------------------------------------
-- Whether people allowed the merge of this head. A merge is intended in the ledger of effects and in
-- the record of the local forge: both ask here.
CREATE FUNCTION juggernaut.may_merge(p_task uuid, p_fence bigint, p_head text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  v_diff juggernaut.plans;
BEGIN
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = p_task;
  SELECT * INTO v_diff FROM juggernaut.plans p WHERE p.task_id = t.id AND p.fence = p_fence AND p.gate = 'diff';
  -- A diff may be riskier than its plan was: then its own approval is the one that counts.
  IF juggernaut.approvers_of(t) > 0 AND NOT juggernaut.approved(t, 'plan') AND (v_diff.digest IS NULL OR NOT juggernaut.approved(t, 'diff', v_diff.digest)) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) cannot merge: its plan was not approved', t.id, t.risk_level));
  END IF;
  IF (t.risk_level = 'critical' OR v_diff.risk_level IN ('high', 'critical'))
     AND (v_diff.digest IS NULL OR NOT juggernaut.approved(t, 'diff', v_diff.digest)
          OR v_diff.body ->> 'head' IS DISTINCT FROM p_head) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s cannot merge %s: this diff was not approved', t.id, left(p_head, 64)),
                              'pass the diff gate with the head that is merged');
  END IF;
END
$$;
CREATE OR REPLACE FUNCTION juggernaut.guard_effect() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.may_merge(NEW.task_id, NEW.fence, NEW.request ->> 'expected');
  RETURN NEW;
END
$$;

-- The task that a branch names.
CREATE FUNCTION juggernaut.task_of_branch(p_branch text) RETURNS uuid
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN p_branch ~ '^feature/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN substr(p_branch, 9)::uuid END;

-- A pull request belongs to whoever holds the task of its branch; while nobody does, and where there
-- is no task, to the login that opened it. A branch that names a task is opened (`p_opened_by`: by
-- whom it was before) and merged by nobody else. Any worker may close what was given up, and write
-- down that the base has the merge which was intended ('settle').
CREATE OR REPLACE FUNCTION juggernaut.own_pull(p_branch text, p_opened_by text, p_move text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
BEGIN
  IF juggernaut.acting_kind() <> 'worker' THEN
    RETURN;
  END IF;
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = juggernaut.task_of_branch(p_branch);
  IF t.lease_login = juggernaut.acting() OR (t.lease_login IS NULL AND (
       (p_opened_by = juggernaut.acting() AND (t.id IS NULL OR p_move <> 'merge'))
       OR (p_move = 'open' AND t.id IS NULL)
       OR (p_move = 'close' AND t.status IN ('cancelled', 'rejected')) OR (p_move = 'settle' AND t.id IS NOT NULL))) THEN
    RETURN;
  END IF;
  IF t.id IS NOT NULL AND t.lease_login IS NULL AND coalesce(p_opened_by, juggernaut.acting()) = juggernaut.acting() THEN
    PERFORM juggernaut.refuse('JG001', format('nobody holds the task of branch %s', p_branch), 'who holds it may move its pull request');
  END IF;
  PERFORM juggernaut.refuse('JG001', format('the pull request of branch %s belongs to another login', p_branch),
                            'who holds its task may move it');
END
$$;

-- Whoever asks for another base than the recorded one would merge into what somebody else chose.
CREATE OR REPLACE FUNCTION juggernaut.pull_open_v2(
  p_repo text, p_head_branch text, p_base_branch text, p_title text, p_body text, p_head_sha text, p_draft boolean
) RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  before_this bigint := coalesce((SELECT max(p.number) FROM juggernaut.pull_requests p WHERE p.repo = p_repo), 0);
  found_row juggernaut.pull_requests;
BEGIN
  PERFORM juggernaut.own_pull(p_head_branch,
    (SELECT p.opened_by FROM juggernaut.pull_requests p
      WHERE p.repo = p_repo AND p.head_branch = p_head_branch AND p.state <> 'closed' ORDER BY p.number DESC LIMIT 1), 'open');
  SELECT * INTO found_row FROM juggernaut.pull_open_v1(p_repo, p_head_branch, p_base_branch, p_title, p_body, p_head_sha);
  IF found_row.base_branch <> p_base_branch THEN
    PERFORM juggernaut.refuse('JG001', format('pull request %s of branch %s goes into %s, not into %s', found_row.number, p_head_branch, found_row.base_branch, p_base_branch),
                              format('a person: SELECT close_pull(%s, ''why'')', found_row.number));
  END IF;
  IF found_row.number > before_this AND p_draft THEN
    UPDATE juggernaut.pull_requests p SET draft = true WHERE p.number = found_row.number AND p.state = 'open' RETURNING * INTO found_row;
  END IF;
  RETURN NEXT found_row;
END
$$;

-- A review is of the head that stands here: only its owner moves it.
CREATE OR REPLACE FUNCTION juggernaut.pull_head_v1(p_repo text, p_number bigint, p_head_sha text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.own_pull(p.head_branch, p.opened_by, 'head')
     FROM juggernaut.pull_requests p
    WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open' AND p.intended_sha IS NULL AND p.head_sha <> p_head_sha;
  UPDATE juggernaut.pull_requests p SET head_sha = p_head_sha
   WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open' AND p.intended_sha IS NULL AND p.head_sha <> p_head_sha;
EXCEPTION WHEN unique_violation THEN
  NULL; -- that head was merged by an earlier pull request
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.pull_ready_v1(p_repo text, p_number bigint) RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.own_pull(p.head_branch, p.opened_by, 'ready')
     FROM juggernaut.pull_requests p WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open' AND p.draft;
  UPDATE juggernaut.pull_requests p SET draft = false WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open' AND p.draft;
  RETURN QUERY SELECT * FROM juggernaut.pull_requests p WHERE p.repo = p_repo AND p.number = p_number;
END
$$;

-- The row of the task is locked first: a cancel or an edit that is under way is waited for.
CREATE OR REPLACE FUNCTION juggernaut.pull_intend_v1(p_repo text, p_number bigint, p_head_sha text, p_merge_sha text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_task uuid;
  v_fence bigint;
BEGIN
  SELECT t.id, t.fence INTO v_task, v_fence FROM public.governance_tasks t
   WHERE t.id = (SELECT juggernaut.task_of_branch(p.head_branch) FROM juggernaut.pull_requests p
                  WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open') FOR NO KEY UPDATE;
  PERFORM juggernaut.own_pull(p.head_branch, p.opened_by, 'merge')
     FROM juggernaut.pull_requests p WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open';
  IF v_task IS NOT NULL THEN
    PERFORM juggernaut.may_merge(v_task, v_fence, p_head_sha);
  END IF;
  UPDATE juggernaut.pull_requests p SET head_sha = p_head_sha, intended_sha = p_merge_sha
  WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open';
  RETURN FOUND;
EXCEPTION WHEN unique_violation THEN
  RETURN false; -- this head was merged by another pull request
END
$$;

-- Whose commit it is: of the task that meant to push it before anybody else could know it.
CREATE INDEX effects_pushed ON juggernaut.effects (split_part(key, '@', 2)) WHERE kind = 'push';

-- What a person's login posted, whatever becomes of that login.
ALTER TABLE juggernaut.checks ADD COLUMN by_person boolean NOT NULL DEFAULT false;
UPDATE juggernaut.checks c SET by_person = true
 WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = c.posted_by
                 AND (pg_catalog.pg_has_role(r.oid, 'juggernaut_owner', 'MEMBER')
                      OR NOT (pg_catalog.pg_has_role(r.oid, 'juggernaut_worker', 'MEMBER') OR pg_catalog.pg_has_role(r.oid, 'juggernaut_plain', 'MEMBER'))));

CREATE OR REPLACE FUNCTION juggernaut.check_post_v1(p_repo text, p_sha text, p_name text, p_passed boolean, p_details text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_by text := juggernaut.acting();
  v_person boolean := juggernaut.acting_kind() <> 'worker';
  v_task uuid;
BEGIN
  IF NOT v_person THEN
    SELECT e.task_id INTO v_task FROM juggernaut.effects e
     WHERE e.kind = 'push' AND split_part(e.key, '@', 2) = p_sha AND starts_with(e.key, format('feature/%s@', e.task_id)) ORDER BY e.id LIMIT 1;
    IF v_task IS NOT NULL THEN
      PERFORM juggernaut.own_pull('feature/' || v_task, NULL, 'check');
    END IF;
  END IF;
  INSERT INTO juggernaut.checks AS c (repo, sha, name, passed, details, posted_by, posted_at, by_person)
  VALUES (p_repo, p_sha, p_name, p_passed, p_details, v_by, pg_catalog.clock_timestamp(), v_person)
  ON CONFLICT (repo, sha, name) DO UPDATE
  SET passed = excluded.passed, details = excluded.details,
      posted_by = excluded.posted_by, posted_at = excluded.posted_at, by_person = excluded.by_person
  -- A worker's login writes over its own checks, and, where it holds the commit's task, over those of other workers.
  WHERE v_person OR (NOT c.by_person AND (c.posted_by = v_by OR v_task IS NOT NULL));
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('check %s at %s was posted by another login', left(p_name, 100), left(p_sha, 64)),
                              'a person may: SELECT report_check(repo, sha, name, passed)');
  END IF;
END
$$;

-- The end of an attempt -----------------------------------------------------------------------------
UPDATE juggernaut.thresholds SET meaning = 'a task that was given back, blocked or parked at a forge so often within a day pays for each further time with an attempt'
 WHERE name = 'free_releases';

-- Blocking and waiting at a forge are free, as giving back is, so many times a day. An attempt that
-- spent money is not counted: the purses bound it. All else that an attempt does is its own word.
CREATE FUNCTION juggernaut.wait_is_free(p_task uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT count(*) < juggernaut.threshold('free_releases') FROM juggernaut.attempts a
   WHERE a.task_id = p_task AND a.ended_at > clock_timestamp() - interval '1 day'
     AND (a.ended_as IN ('blocked', 'parked') OR (a.ended_as = 'released' AND coalesce(a.error_code, 'released') = 'released'))
     AND NOT EXISTS (SELECT FROM juggernaut.model_calls m WHERE m.task_id = a.task_id AND m.fence = a.fence AND m.cost_usd > 0)
$$;

CREATE OR REPLACE FUNCTION juggernaut.block_v1(p_task uuid, p_fence bigint, p_secret uuid, p_reason text, p_owner text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_free boolean;
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) = 'blocked', false);
  END IF;
  v_free := juggernaut.wait_is_free(t.id);
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'blocked', 'blocked', p_reason);
  UPDATE public.governance_tasks g SET status = 'blocked', blocked_reason = left(p_reason, 4000), blocked_owner = left(p_owner, 300),
         blocked_at = clock_timestamp(), attempts = g.attempts - CASE WHEN v_free THEN 1 ELSE 0 END, assigned_worker = g.assignment,
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN true;
END
$$;

-- Who has waited too often, and has no attempt left, waits for a person: the pull request stays.
CREATE OR REPLACE FUNCTION juggernaut.park_pull_v1(p_task uuid, p_fence bigint, p_secret uuid, p_stamp text, p_waits_for text, p_reason text, p_owner text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_now timestamptz := clock_timestamp();
  v_free boolean;
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) IN ('parked', 'blocked'), false);
  END IF;
  v_free := juggernaut.wait_is_free(t.id);
  IF NOT v_free AND t.attempts >= t.max_attempts THEN
    RETURN juggernaut.block_v1(p_task, p_fence, p_secret, 'its pull request was waited for too often in one day: ' || coalesce(p_reason, ''),
                               'a person: look at the pull request, then retry_task or cancel_task');
  END IF;
  UPDATE juggernaut.pull_watches w
     SET waiting = true, stamp = p_stamp, waits_for = p_waits_for, reason = left(p_reason, 4000), owner = left(p_owner, 300),
         -- A task that waits for its turn again keeps its place.
         since = CASE WHEN w.waits_for = 'turn' AND p_waits_for = 'turn' THEN w.since ELSE v_now END,
         changed_at = v_now, next_look_at = v_now + juggernaut.seconds('pull_look_seconds')
   WHERE w.task_id = t.id;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no pull request to wait for', t.id), 'note_pull_v1 comes first');
  END IF;
  IF p_waits_for IN ('review', 'turn') THEN
    DELETE FROM juggernaut.trains r WHERE r.task_id = t.id;
  END IF;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'parked', NULL, NULL);
  UPDATE public.governance_tasks g SET status = 'awaiting_merge', attempts = g.attempts - CASE WHEN v_free THEN 1 ELSE 0 END, assigned_worker = g.assignment,
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN true;
END
$$;

-- What is written, and shown -------------------------------------------------------------------------
-- A fact has the form that its name promises: a list where there are many, words that are not blank,
-- a count below 10^9. What is not named here is some fact of an operator's own type.
CREATE OR REPLACE FUNCTION juggernaut.fact_is_wrong(p_fact text, p_facts jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN CASE p_fact
           WHEN 'merged_sha' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{40}$'
           WHEN 'head_sha' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{40}$'
           WHEN 'base_sha' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{40}$'
           WHEN 'sha' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{40}$'
           WHEN 'passed' THEN coalesce(p_facts ->> p_fact, '') !~ '^[1-9][0-9]{0,8}$'
           WHEN 'failed' THEN coalesce(p_facts ->> p_fact, '') <> '0'
           WHEN 'exit_code' THEN coalesce(p_facts ->> p_fact, '') <> '0'
           WHEN 'pull_number' THEN coalesce(p_facts ->> p_fact, '') !~ '^[1-9][0-9]{0,8}$'
           WHEN 'output_digest' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{64}$'
           WHEN 'metrics_digest' THEN coalesce(p_facts ->> p_fact, '') !~ '^[0-9a-f]{64}$'
           WHEN 'report_id' THEN coalesce(p_facts ->> p_fact, '') !~ '^[1-9][0-9]{0,17}$'
           WHEN 'recommendation_ids' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'array'
           WHEN 'files' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'array' OR coalesce(p_facts -> p_fact ->> 0, '') !~ '[^\s{}[\]]'
           WHEN 'sources' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'array' OR coalesce(p_facts -> p_fact ->> 0, '') !~ '[^\s{}[\]]'
           WHEN 'checks' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'array' OR coalesce(p_facts -> p_fact ->> 0, '') !~ '[^\s{}[\]]'
           WHEN 'task_ids' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'array' OR coalesce(p_facts -> p_fact ->> 0, '') !~ '[^\s{}[\]]'
           WHEN 'tests' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'object' OR p_facts -> p_fact = '{}'
           WHEN 'location' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'string' OR coalesce(p_facts ->> p_fact, '') !~ '\S'
           WHEN 'pull_url' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'string' OR coalesce(p_facts ->> p_fact, '') !~ '\S'
           WHEN 'command' THEN CASE jsonb_typeof(p_facts -> p_fact) WHEN 'string' THEN (p_facts ->> p_fact) !~ '\S'
                                    WHEN 'array' THEN coalesce(p_facts -> p_fact ->> 0, '') !~ '\S' ELSE true END
           ELSE coalesce(p_facts -> p_fact, 'null') IN ('null', '{}', '[]') OR (p_facts ->> p_fact) !~ '\S'
         END;

-- A report and recommendations are those of the attempt that completes; tasks are of any attempt,
-- because a plan is written down once.
CREATE OR REPLACE FUNCTION juggernaut.foreign_fact(p_task uuid, p_type text, p_facts jsonb) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT f.fact
    FROM juggernaut.task_types y CROSS JOIN LATERAL unnest(y.required_facts) AS f (fact)
   CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(p_facts -> f.fact) WHEN 'array' THEN p_facts -> f.fact
                                                     ELSE jsonb_build_array(p_facts -> f.fact) END) AS e (named)
   WHERE y.task_type = p_type AND CASE f.fact
     WHEN 'task_ids' THEN NOT EXISTS (SELECT FROM public.governance_tasks c WHERE c.parent_task_id = p_task AND c.id::text = e.named)
     WHEN 'report_id' THEN NOT EXISTS (SELECT FROM public.reports r JOIN public.governance_tasks t ON t.id = r.task_id AND t.fence = r.fence
                                        WHERE r.task_id = p_task AND r.id::text = e.named)
     WHEN 'recommendation_ids' THEN NOT EXISTS (SELECT FROM public.recommendations r JOIN public.governance_tasks t ON t.id = r.task_id AND t.fence = r.fence
                                                 WHERE r.task_id = p_task AND r.id::text = e.named)
     ELSE false END
   LIMIT 1
$$;

-- As before, and the empty signs of Braille, shorthand and music, and all of plane 14.
CREATE OR REPLACE FUNCTION juggernaut.shown(p text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$ SELECT regexp_replace(p, U&'[\0001-\0008\000B-\001F\007F-\009F\00AD\034F\061C\115F\1160\17B4\17B5\180B-\180F\200B-\200F\2028-\202E\2060-\206F\2800\3164\FE00-\FE0F\FEFF\FFA0\FFF9-\FFFB\+01BCA0-\+01BCA3\+01D173-\+01D17A\+0E0000-\+0E0FFF]', U&'\FFFD', 'g') $$;

REVOKE ALL ON FUNCTION juggernaut.may_merge(uuid, bigint, text), juggernaut.task_of_branch(text), juggernaut.wait_is_free(uuid) FROM PUBLIC;
