-- Pull requests and checks of the local forge. The merges themselves are commits in git; a merge
-- is written here as intended before the branch moves, and confirmed after.

SET LOCAL ROLE juggernaut_owner;

CREATE TABLE juggernaut.pull_requests (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  repo text NOT NULL CHECK (length(repo) BETWEEN 1 AND 4096),
  head_branch text NOT NULL CHECK (length(head_branch) BETWEEN 1 AND 200),
  base_branch text NOT NULL CHECK (length(base_branch) BETWEEN 1 AND 200),
  title text NOT NULL CHECK (length(title) BETWEEN 1 AND 300),
  body text NOT NULL CHECK (length(body) <= 20000),
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'merged', 'closed')),
  head_sha text NOT NULL CHECK (head_sha ~ '^[0-9a-f]{40}([0-9a-f]{24})?$'),
  intended_sha text CHECK (intended_sha ~ '^[0-9a-f]{40}([0-9a-f]{24})?$'),
  merged_sha text CHECK (merged_sha ~ '^[0-9a-f]{40}([0-9a-f]{24})?$'),
  opened_by text NOT NULL DEFAULT juggernaut.acting(),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  merged_at timestamptz,
  CHECK (head_branch <> base_branch),
  CHECK ((state = 'merged') = (merged_sha IS NOT NULL)),
  CHECK ((state = 'merged') = (merged_at IS NOT NULL)),
  CHECK (merged_sha IS NULL OR merged_sha = intended_sha)
);
COMMENT ON TABLE juggernaut.pull_requests IS 'pull requests of the local forge; repo is the path of a bare git repository';
COMMENT ON COLUMN juggernaut.pull_requests.intended_sha IS 'the merge commit, written before the base branch moves to it';

CREATE UNIQUE INDEX pull_requests_one_open ON juggernaut.pull_requests (repo, head_branch) WHERE state = 'open';
-- The same head is never opened or merged twice, whoever races whom.
CREATE UNIQUE INDEX pull_requests_one_per_head ON juggernaut.pull_requests (repo, head_branch, head_sha) WHERE state <> 'closed';
CREATE INDEX pull_requests_newest ON juggernaut.pull_requests (repo, head_branch, number DESC);

CREATE TABLE juggernaut.checks (
  repo text NOT NULL CHECK (length(repo) BETWEEN 1 AND 4096),
  sha text NOT NULL CHECK (sha ~ '^[0-9a-f]{40}([0-9a-f]{24})?$'),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  passed boolean NOT NULL,
  details text NOT NULL CHECK (length(details) <= 20000),
  posted_by text NOT NULL,
  posted_at timestamptz NOT NULL,
  PRIMARY KEY (repo, sha, name)
);
COMMENT ON TABLE juggernaut.checks IS 'results of named checks at a commit, for the local forge';

-- Gives the open pull request of the branch, a new one, or the merged one of this very head.
CREATE FUNCTION juggernaut.pull_open_v1(
  p_repo text, p_head_branch text, p_base_branch text, p_title text, p_body text, p_head_sha text
) RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  found_row juggernaut.pull_requests;
BEGIN
  -- Each statement sees what was committed before it; between two of them the open one may be
  -- merged, so the question is asked again.
  FOR try IN 1..5 LOOP
    SELECT * INTO found_row FROM juggernaut.pull_requests p
    WHERE p.repo = p_repo AND p.head_branch = p_head_branch
      AND (p.state = 'open' OR (p.state = 'merged' AND p.head_sha = p_head_sha))
    ORDER BY (p.state = 'merged'), p.number DESC LIMIT 1
    FOR UPDATE;
    IF FOUND THEN
      RETURN NEXT found_row;
      RETURN;
    END IF;
    INSERT INTO juggernaut.pull_requests (repo, head_branch, base_branch, title, body, head_sha)
    VALUES (p_repo, p_head_branch, p_base_branch, p_title, p_body, p_head_sha)
    ON CONFLICT DO NOTHING RETURNING * INTO found_row;
    IF FOUND THEN
      RETURN NEXT found_row;
      RETURN;
    END IF;
  END LOOP;
  PERFORM juggernaut.refuse('JG001', pg_catalog.format('the pull request of branch %s changes too fast', p_head_branch),
                            'ask again');
END
$$;

-- Writes a merge down before it is done; only the last intention counts.
CREATE FUNCTION juggernaut.pull_intend_v1(p_repo text, p_number bigint, p_head_sha text, p_merge_sha text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.pull_requests p SET head_sha = p_head_sha, intended_sha = p_merge_sha
  WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open';
  RETURN FOUND;
EXCEPTION WHEN unique_violation THEN
  RETURN false; -- this head was merged by another pull request
END
$$;

-- Marks as merged what was intended; gives no row when that merge was never intended.
CREATE FUNCTION juggernaut.pull_confirm_v1(p_repo text, p_number bigint, p_merge_sha text)
RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.pull_requests p
  SET state = 'merged', merged_sha = p_merge_sha, merged_at = pg_catalog.clock_timestamp()
  WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open' AND p.intended_sha = p_merge_sha;
  RETURN QUERY SELECT * FROM juggernaut.pull_requests p
  WHERE p.number = p_number AND p.repo = p_repo AND p.merged_sha = p_merge_sha;
END
$$;

CREATE FUNCTION juggernaut.check_post_v1(p_repo text, p_sha text, p_name text, p_passed boolean, p_details text)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  INSERT INTO juggernaut.checks AS c (repo, sha, name, passed, details, posted_by, posted_at)
  VALUES (p_repo, p_sha, p_name, p_passed, p_details, juggernaut.acting(), pg_catalog.clock_timestamp())
  ON CONFLICT (repo, sha, name) DO UPDATE
  SET passed = excluded.passed, details = excluded.details,
      posted_by = excluded.posted_by, posted_at = excluded.posted_at
$$;

REVOKE ALL ON FUNCTION
  juggernaut.pull_open_v1(text, text, text, text, text, text),
  juggernaut.pull_intend_v1(text, bigint, text, text),
  juggernaut.pull_confirm_v1(text, bigint, text),
  juggernaut.check_post_v1(text, text, text, boolean, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  juggernaut.pull_open_v1(text, text, text, text, text, text),
  juggernaut.pull_intend_v1(text, bigint, text, text),
  juggernaut.pull_confirm_v1(text, bigint, text),
  juggernaut.check_post_v1(text, text, text, boolean, text)
TO juggernaut_worker;
GRANT SELECT ON juggernaut.pull_requests, juggernaut.checks TO juggernaut_worker, juggernaut_approver, juggernaut_reader;
