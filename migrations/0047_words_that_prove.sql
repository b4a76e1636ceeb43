-- Words that prove: what denies a criterion does not meet it, red or unclear words complete nothing, and
-- who overwrites another's check has pushed its commit before.
SET LOCAL ROLE juggernaut_owner;

-- As before. "None of the 12 passed" is 0; each code of a list, and by its other names, is one; what failed
-- may be counted in words, named by its file, or written in signs of another script.
CREATE OR REPLACE FUNCTION juggernaut.stated(said text) RETURNS TABLE (fact text, value text, words text)
LANGUAGE plpgsql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  -- What was so before is told for comparison, and what another code would mean is no code.
  said text := regexp_replace($1, '\mbefore\s*:[^.;\n]*[.;\n]\s*(?=after\s*:)|\mexit\s+(?:code|status)\s+[0-9]+\s+(?:would\s+)?(?:mean|stand)', ' ', 'gi');
  -- "1,000 failed" is not 0, and of "3/12 passed" or "3 of the 12 passed" it is the 3.
  num CONSTANT text := '([0-9]+(?:[.,_''][0-9]+| [0-9]{3}\M)*)';
  many CONSTANT text := '\m' || num || '(?:\s*(?:/|\mof\M|\mout of\M)\s*(?:the\s+|all\s+)?[0-9]+)?';
  -- Up to five words between a number and its result, none of which says a result of its own.
  gap CONSTANT text := '(?:[\s-]+(?!(?:pass|fail|error)(?!-[a-z])|(?:no|none|not|nothing|never|zero|neither|should|would|could|might|must|will|cannot)\M)[a-z()''-]+){0,5}';
  pass CONSTANT text := 'pass(?:ed|es|ing)?';
  fail CONSTANT text := 'fail(?:ed|s|ing|ures?)?(?!-[a-z])';
  none CONSTANT text := '\m(?:no|none|zero|nothing|without)(?:\s+(?:of|them|these|those|the|any|unit|integration|tests?|cases?|checks?|has|have|[0-9]+))*\s+';
  every CONSTANT text := 'all' || gap || '[\s-]+(?:[0-9]+' || gap || '[\s-]+)?' || pass || '\M';
  good CONSTANT text := none || fail || '\M|(?<![0-9][.,_''])\m0(?:\s*(?:/|of)\s*[0-9]+)?' || gap || '[\s-]+' || fail || '\M|\m' || fail || '["''*_`]*\s*[:=][\s"''*_`]*0\M';
  -- "Passed: 12" and "Failed: 0" of two lines are no "12 failed"; but "all passed: 0 failed" is.
  pair CONSTANT text := '["''*_`]*\s*[:=][\s"''*_`]*' || num || '\M(?![ \t-]+(?:[a-z]+[ \t-]+){0,2}(?:pass|fail)[a-z]*\M(?!["''*_`]*\s*[:=]))';
  free text := regexp_replace(said, '\m[0-9]+\s+expected\s+failures?\M|\mexpected\s+failures?\s*=\s*[0-9]+|\m(?:' || pass || '|' || fail || '|errors?|skipped|skips|xfailed|total)' || pair, ' ', 'gi');
  -- "Exit code", and what other programs call it; a bare "returned 2" or "status 2" only at the end of a clause, and below 200.
  code CONSTANT text := '\m(?:exit[a-z]*|return[\s_-]*codes?|rc)(?:[\s:=_"''`*()-]*(?:with|codes?|status(?:es)?|value|was|were|is|are|of\s+`[^`\n]{1,80}`|of|a|the|respectively)(?![a-z]))*[\s:=_"''`*()-]*';
  bare CONSTANT text := '\m(?:returned|returns|status)[\s:=_"''`*()-]*(?:with\s+|was\s+|is\s+)?';
  closed CONSTANT text := '(?=[\s"''`*]*(?:[,;)\n]|\.(?![0-9])|\m(?:and|but|then|so|because)\M|$))';
  rest text := regexp_replace(free, good, ' ', 'gi');
BEGIN
  RETURN QUERY
    SELECT f.fact, coalesce(f.value, regexp_replace(m[2], '[^0-9]', '', 'g')), btrim(left(regexp_replace(m[1], '\s+', ' ', 'g'), 100))
      FROM (VALUES
             ('passed', NULL, free, many || gap || '[\s-]+' || pass || '\M'),
             ('passed', NULL, said, '\m' || pass || pair),
             ('passed', '0', said, none || pass || '\M'),
             -- The summaries of Maven, Gradle, JUnit, gotestsum and PHPUnit; where some were skipped, "run" is not "passed".
             ('passed', NULL, said, '(?:\mtests\s+run:\s*(?=[0-9]+,\s*failures:)(?![^\n]*\mskipped:\s*[1-9])|\mdone\s+(?=[0-9]+\s+tests?\s+in\s)|\mok\s+\((?=[0-9]+\s+tests?,)|\m(?=[0-9]+\s+tests?\s+(?:successful\M|completed,\s*[0-9]+\s+failed\M)))' || num),
             ('failed', '0', said, '\mdone\s+[1-9][0-9]*\s+tests?\s+in\s|\mok\s+\([1-9][0-9]*\s+tests?,|\mtests:\s+(?:[0-9]+ (?:skipped|todo), )*[1-9][0-9]* passed, [0-9]+ total\M'),
             ('failed', NULL, rest, many || gap || '[\s-]+' || fail || '\M'),
             ('failed', NULL, regexp_replace(said, none || fail || '\M|\mexpected\s+failures?', ' ', 'gi'), '\m' || fail || pair),
             ('failed', '0', said, none || fail || '\M|(?<![0-9][.,_''])\m0(?:\s*(?:/|of)\s*[0-9]+)?' || gap || '[\s-]+' || fail || '\M'),
             ('failed', '0', said, '(?<!\m(?:not|nearly|almost)\s+)\m' || every),
             ('failed', '?', said, '\m(?:not|nearly|almost)\s+' || every),
             ('failed', '?', said, '(?<!\m(?:http|status|code)\s+)\m[1-9][0-9]*' || gap || '[\s-]+errors?\M(?!-[a-z])|\merrors?["'']?\s*[:=]\s*[1-9][0-9]*'),
             ('failed', '?', rest, '\m(?:some|several|many|most|few|half|rest|others?|all|both|everything|suite|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen|[a-z]+ty|hundreds?|dozens?|one|another)'
                                   '(?:\s+(?:of|the|them|unit|integration|tests?|cases?|checks?|is|are|was|were|has|have)){0,4}\s+' || fail || '\M'),
             ('failed', '?', rest, '\m(?!(?:that|which|what)\M)[[:alpha:]_](?:[\w.:/]*\w)?\s+(?:has\s+|have\s+)?fail(?:ed|s|ing)(?=\s*(?:[,;.!)\n]|$))(?<!\m(?:that|when|if|how|whether|where)\M[^.;\n]{0,60})'),
             ('failed', '0', said, '\m[1-9][0-9]* passed(?:, [0-9]+ (?:skipped|deselected|warnings?|xfailed|xpassed|subtests passed))* in [0-9.]+ ?s(?:ec[a-z]*)?\M'),
             ('failed', '?', rest, '[^\x01-\x7e]\s+' || fail || '\M(?!["'']?\s*[:=]\s*[0-9])'),
             ('failed', '?', rest, '(?<!\m(?:that|which|what|had|has)\s+)\mfail(?:ed|s)?:?\s+[\w.-]*(?:/|::|\.py\M)'),
             ('exit_code', NULL, regexp_replace(said, '\|\|\s*(?:\{\s*)?exit\s+[0-9]+', ' ', 'g'), code || num || '(?!\w|[.,][0-9])'),
             ('exit_code', '?', said, code || '[0-9]+(?:\s*[/|+]\s*0+\M)*\s*[/|+]\s*0*[1-9]'),
             ('exit_code', '?', said, code || '[0-9]+(?:\s*(?:,|;|\mand\M|\mthen\M)+\s*0+\M)*\s*(?:,\s*and|,|;|\mand\M|\mthen\M)\s*-?0*[1-9][0-9]{0,2}' || closed),
             ('exit_code', '?', said, '\m(?:exit|return)[\s_-]*(?:codes|statuses)\M[^.;\n]{0,40}\m0*[1-9][0-9]{0,2}\M(?![.,]?[0-9])'),
             ('exit_code', '0', said, bare || '0' || closed),
             ('exit_code', '?', said, bare || '(?:-[0-9]+|1?[0-9]?[1-9]|1?[1-9]0|100|255)' || closed),
             ('exit_code', NULL, said, '\mexit[^;.\n]{1,60}\mgot\s+' || num || '\M'),
             ('exit_code', '?', said, '\*\*\*\s[^\n]{0,200}\merror\s+[1-9]|\m(?:end|exit|return|stop|fail|quit|die)[a-z]*\s+(?:with|by|on)\s+(?:an?\s+)?error\s+[1-9]'),
             ('exit_code', '?', said, '(?:\mnot|\mnever|n''t)\s+(?:[a-z]+\s+){0,2}exit[a-z]*')
           ) AS f (fact, value, text, form), regexp_matches(f.text, '(' || f.form || ')', 'gi') AS m;
END
$$;

-- What in these words leaves open how it went: a worker that reports in good faith says it otherwise.
CREATE FUNCTION juggernaut.unclear_words(p_type text, said text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  fell CONSTANT text := '(?:crash(?:ed|es|ing)?|segfault(?:ed|s)?|segmentation\s+faults?|killed|hung|tim(?:ed|es|ing)\s+out|(?:is|are|was|were|still|now|some|many|most|several|[1-9][0-9]*)\s+broken|broken(?=\s*(?:[,;.)\n]|$))|aborted|interrupted|fatal(?=\s*:|\s+errors?\s*:)|(?:is|are|was|were|went)\s+down'
                        '|(?:run|suite|job|session|build|pytest|it)\s+(?:was\s+|has\s+)?stopped\s+(?:after|early|before|halfway|there|at|in)|(?:run|suite|job|build|ci|pipeline)\s+(?:is|was|went|still)\s+red)';
  undone CONSTANT text := '(?:(?:could|can|did|do|does|was|were|has|have|is|are)\s+(?:not|never)|cannot|(?:could|did|do|does|was|were|has|have|is|are|ca)n[''’]t)\s+(?:[a-z]+\s+){0,2}'
                          '(?:start(?:ed)?|finish(?:ed)?|end(?:ed)?|complet(?:ed?)|run|ran|be\s+[a-z]+|work|pass|check(?:ed)?|test(?:ed)?|verif(?:y|ied)|execut(?:ed?)|collect(?:ed)?|build|compile|succeed|exit)';
  wish CONSTANT text := '\m(?:expect(?:ed|s|ing)?|should|would|ought|supposed|meant|hop(?:ed?|ing)|want(?:ed)?)\M';
  -- What of its own clause says that it is over, or was done on purpose; "crashed again" and "not fixed" do not.
  over CONSTANT text := '(?<!(?:\mnot|\mnever|n[''’]t|\mbe|\mto)\s+)\m(?:fixed|mended|repaired|retried|deleted|removed|replaced|restarted|repeated|at\s+first|any\s?more|no\s+longer|(?:up|back|ran|runs|running|works|passes|started|fine|green|alive)\s+again)\M';
  here CONSTANT text := '(?:(?!\m(?:after|when|once|if|while|until|although)\M)[^.,;\n])*';
  -- Names of files and tests, what is behind somebody, and what happened to nothing.
  plain text := regexp_replace(said, '(?<![\w./:-])[\w.-]{0,80}[/_:][\w./:-]*\w|(?<![\w.-])[\w-]{1,80}\.[a-z]{1,5}(?![\w.-])'
    '|\m(?:no|none|zero|0|nothing|never|without|nor|no\s+longer)\M(?:[\s,-]+(?:flaky|slow|of|the|them|a|any|unit|integration|[0-9]+|tests?|cases?|checks?|links?|mutants?|has|have|is|are|was|were|or|ever)\M)*[\s-]+' || fell ||
    '|\m(?:(?:is|are|was|were|did|does|do|has|have)\s+(?:not|never)|(?:is|are|was|were|did|does|do|has|have)n[''’]t|not)\s+(?:[a-z]+\s+)?' || fell || '?(?:crash|hang|time\s+out)?\M(?=\s*[,.;)]|\s*$)'
    '|\m(?:fix|mend|repair|remov|replac|correct|patch|solv|resolv|clean|restor)[a-z]*\s+(?:[\w''-]+\s+){0,4}' || fell ||
    '|\m(?:a|an|any|each|when|if|after|where|until)\s+(?:[a-z]+\s+){0,3}' || fell ||
    '|\m' || fell || here || over || '|\mbefore(?:\s+(?:the|this|that|my)\s+(?:change|fix|mend|patch|commit)|\s*:|,)' || here || '\m' || fell ||
    '|\m' || fell || '\M' || here || '[,;]\s+(?:it|this|that|they)\s+(?:does|do|did)(?:\s+not|n[''’]t)\s+any\s?more\M|(?:^|[.;\n]\s+)timed\s+out\s+[a-z]+\s+(?:is|are|was|were)\M'
    '|\m(?:was|were)\s+down\s+for\s+(?:a|an|[0-9]+|some)\s+[a-z]+,?\s+(?:and|then|but)\s+(?:(?:and|then|it|is|now)\s+){0,3}(?:fine|up|back|ok)\M|\m(?:old|stale|previous|former)\s+[a-z]+\s+(?:was\s+|were\s+)?killed'
    '|\mthat\s+' || undone || '\M' || here || '\m(?:are|is|were|was)\s+skipped\M|\mdid\s+not\s+run\M' || here || ',?\s+(?:as|because|since)\s+(?:nobody|no\s+one|it\s+was\s+not)\s+(?:asked|needed|wanted|required)\M'
    '|\m(?:that|which|what)\s+(?:had\s+|has\s+|was\s+|were\s+)?(?:been\s+)?' || fell || '|\mmutants?\s+(?:[a-z]+\s+){0,2}killed|\mkilled\s+(?:[a-z0-9]+\s+){0,3}mutants?', ' ', 'gi');
BEGIN
  IF p_type = 'verification' THEN
    -- The name of a check may say what it likes.
    plain := regexp_replace(plain, '[[:alnum:]_](?:[^:=;,|\n.]|\.(?!\s))*(?::|=+>?|->|\s[-–—]+\s|\|)[\s*_`"''([]*(?:pass|ok|met|succe|green|exit)', ' ', 'gi');
  END IF;
  RETURN (SELECT btrim(left(regexp_replace(m[1], '\s+', ' ', 'g'), 100))
            FROM (VALUES (plain, '\m' || fell || '\M(?!\s*[:=]\s*0\M)'),
                         (plain, '\m' || undone || '\M'),
                         (plain, CASE WHEN p_type <> 'verification' THEN '(?<!\m(?:as|than|the|an)\s+)' || wish || '(?!\s+fail|\s+be\s+(?!pass|finish|complet|end|report|return)[a-z]+ed\M)[^.;\n]{0,60}\m(?:exit|return|pass|fail|status|rc)[a-z]*(?!,?\s+and\s+(?:it|they)\s+(?:does|do|did|has)\M(?!\s+not|n))' END),
                         (plain, CASE WHEN p_type <> 'verification' THEN '\m(?:exit|return)[a-z]*(?:\s+(?:code|status|value|of))*\s+0\s+(?:is|was|were)\s+(?:not|never|expected|hoped)' END)
                 ) AS f (text, form), regexp_matches(f.text, '(' || f.form || ')', 'gi') AS m LIMIT 1);
END
$$;
REVOKE ALL ON FUNCTION juggernaut.unclear_words(text, text) FROM PUBLIC;

-- As before, and of each other "name: result" whether it is one: good is null where no good result is in it.
CREATE OR REPLACE FUNCTION juggernaut.checks_stated(said text) RETURNS TABLE (good boolean, words text)
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT c.good, c.words
    FROM (SELECT m[3] ~* '^(pass|ok|met|succe|green|clean|done|works|yes|valid|equal|match|no\M|0|✅|✔|✓|☑|[1-9][0-9]*\s*pass|all|exit\D*0$)' AS good,
                 btrim(left(regexp_replace(m[1], '\s+', ' ', 'g'), 100)) AS words, btrim(m[2], E' \t\r*#>_`"''.()[]-') AS name
            FROM regexp_matches(said, '(([[:alnum:]_][^:=;,|\n]*)(?::|=+>?|->|\s[-–—]+\s|\|)[\s*_`"''([]*'
                   '(pass(?:ed|es|ing)?|ok|okay|met|success|successful|succeeded|green|clean|done|(?:works|yes|valid|equal|match(?:es)?)(?=\s*(?:[,;.|)\n]|$))|✅|✔|✓|☑|(?:no|0)\s+(?:[a-z]+\s+)?(?:errors?|problems?|issues?|warnings?|failures?|findings?)'
                   '|[1-9][0-9]*\s+(?:[a-z]+\s+)?passed|all\s+(?:[a-z0-9]+\s+){0,2}(?:pass(?:ed)?|green|ok)|exit[a-z]*[ :=_-]*(?:code|status|with)?[ :=_-]*[0-9]+'
                   '|fail(?:ed|s|ing|ure)?|broken|unmet|missing|nok|red|rejected|❌|✗|✘|not\s+(?!found|applicable|needed|required|affected|used)[a-z]+|errors?(?=\s*(?:[,;.|)\n]|$)))(?![\w/]|\s+(?:as|like)\s+(?:required|expected|asked|wanted|it)\M))', 'gi') AS m) c
   WHERE NOT c.good
      OR c.name ~* '[[:alpha:]]' AND c.name !~* '^(the |my |over-?all )*(results?|status|state|all|everything|notes?|summary|verdict|outcome|conclusion|work|task|it|done|verification|checks?)$'
  UNION ALL
  -- A box that is ticked names a check, too; an empty one leaves it open.
  SELECT CASE WHEN m[2] <> ' ' THEN true END, btrim(left(m[1], 100)) FROM regexp_matches(said, '^[ \t*+-]{0,20}(\[([xX✓✔ ])\][^\n:|]{0,60}[[:alpha:]])', 'gn') AS m
  UNION ALL
  SELECT false, btrim(left(m[1], 100)) FROM regexp_matches(said, '((?:❌|✗|✘|⛔|🔴)(?!\s*0\M)[^;|\n]{0,60})', 'g') AS m
  UNION ALL
  -- The result of a clause is what stands behind its last sign; a row of a table has it in any cell but the first.
  SELECT NULL, btrim(left(regexp_replace(k.clause, '\s+', ' ', 'g'), 100))
    FROM (SELECT l.line AS clause, regexp_replace(l.line, '^\s*\|?[^|]*\||[\s|]+$', '', 'g') AS result, substring(l.line FROM '^[\s|]*([^|]*[^\s|])') AS name
            FROM regexp_split_to_table(regexp_replace(said, '(?:^|\n)[^\n]*\|[^\n]*\n[ \t|]*:?-{2,}[ \t:|-]*(?=\n|$)', E'\n', 'g'), '\n') AS l (line) WHERE l.line ~ '\|.*[^\s|-]'
          UNION ALL
          SELECT c.clause, m[2], btrim(m[1], E' \t\r*#>_`"''.()[]-')
            FROM regexp_split_to_table(regexp_replace(said, '\([^()\n]*\)|https?://\S*|^[^\n]*\|[^\n]*$', ' ', 'gn'), '[;,\n]|\.(?=\s|$)') AS c (clause),
                 regexp_match(c.clause, '^(.*[^:=\s].*?)\s*(?::(?![:0-9])|=(?!=)|=>|->)[\s*_`"''([]*([^:=]*?)[\s*_`"'')\]]*$') AS m
           WHERE m[2] ~ '\S') k
   WHERE (k.result !~* '(?:\m(?:pass(?:ed|es|ing)?|ok|okay|met|success|successful|successfully|succeed(?:ed|s)?|green|clean|done|fine|good|yes|true|works?|correct|valid|verified|match(?:es|ed)?|(?:returns|http)\s+2[0-9][0-9]|complete|completed|identical|equal|same|unchanged|present|intact|as\s+(?:expected|asked|wanted|specified))\M|✅|✔|✓|☑|\m(?:no|none|0|zero|nothing|without|not\s+(?:found|applicable|needed|required|affected|used)|n/a|as\s+required)\M|\m100\s*%|\mexit)'
         OR k.result ~* '(?:\mnot|\mnever|\mcannot|n[''’]t)\s+(?:[a-z]+\s+)?(?:pass|ok|met|succe|match|works?|green|clean|good|valid|verified|complete|correct|identical|equal|same|present)|\m(?:partly|partially|in\s+part)\M')
     AND k.name !~* '\m(?:notes?|commit|sha|sha256|digest|head|base|branch|versions?|date|time|took|duration|seconds|urls?|sources?|commands?|cmd|ran|run|environment|env|python|os|platform|host|tools?|repo|repository|pr|files?|logs?|output|details|see|summary|scope|method|work|task|by|at|criterion\s*#?[0-9]+)$'
     -- A size, a ratio that is whole or a name with a number in it is no result; nor is a number, but of what should be none.
     AND btrim(k.result, E' \t\r*_`"''.') !~* '^(?:[0-9a-f]{7,64}|v?[0-9]+(?:\.[0-9]+)+|[0-9][0-9.,_]*\s*(?:ms|s|sec|seconds?|minutes?|min|hours?|h|days?|[kmgt]?i?b|bytes|%|lines?|rows?|results?|entries|items|records|pages?)|([0-9]+)\s*/\s*\1|(?!exit|error|fail|code|rc)[a-z][a-z_./@-]{0,40}[0-9][\w./@-]*|[0-9-]{10}[T ][0-9:.]+Z?|/\S*)$'
     AND (btrim(k.result, E' \t\r*_`"''.') !~ '^[0-9][0-9.,_]*(?:[\s|]+[0-9][0-9.,_]*)*$'
          OR k.name ~* '\m(?:problems?|issues?|errors?|fail[a-z]*|crash[a-z]*|broken|dead|missing|lost|warnings?|findings?|conflicts?|violations?|bugs?|defects?|mismatch[a-z]*|differ[a-z]*|vulnerab[a-z]*|leaks?|un(?!it)[a-z]+|wrong|bad|red|open|status|code|rc|exit[a-z]*|return[a-z]*)\M')
$$;

-- As before; for tests, commands and checks, words that leave it open complete nothing either.
CREATE OR REPLACE FUNCTION juggernaut.self_reported(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  said text := new.completion_evidence;
  missing text := juggernaut.lacking(old.id, old.task_type, said);
  red text := juggernaut.red_words(old.task_type, said);
  unclear text;
BEGIN
  IF red IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for a %s task says "%s": work that is red is not complete', old.task_type, red),
                              'mark it as failed with an error_message, or mend it, run it again and state that run alone');
  END IF;
  IF missing IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for a %s task must name %s', old.task_type, missing));
  END IF;
  IF old.task_type IN ('test', 'command', 'verification') THEN
    unclear := coalesce(juggernaut.unclear_words(old.task_type, said),
                        (SELECT c.words FROM juggernaut.checks_stated(said) c WHERE old.task_type = 'verification' AND c.good IS NULL LIMIT 1));
    IF unclear IS NOT NULL THEN
      PERFORM juggernaut.refuse('JG001', format('evidence for a %s task says "%s": that leaves open whether the work is good', old.task_type, unclear),
        CASE old.task_type WHEN 'test' THEN 'if it is, state its counts alone: "12 passed, 0 failed"' WHEN 'command' THEN 'if it is, state the command and its exit code alone: "make dist: exit code 0"'
                           ELSE 'if it is, state each check and its result alone: "lint: pass"' END || '; if not, mark it as failed with an error_message');
    END IF;
  END IF;
  INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)
    SELECT old.id, old.fence, old.task_type,
           jsonb_strip_nulls(jsonb_build_object('self_reported', said, 'worker', old.assigned_worker, 'pull_url', substring(said FROM 'https://[^\s]+/pull/[0-9]+'),
             'passed', max(s.number) FILTER (WHERE s.fact = 'passed'), 'failed', max(s.number) FILTER (WHERE s.fact = 'failed'),
             'exit_code', max(s.number) FILTER (WHERE s.fact = 'exit_code'))),
           'self-reported', juggernaut.acting()
      FROM (SELECT x.fact, x.value::bigint AS number FROM juggernaut.stated(said) x WHERE x.value ~ '^[0-9]{1,9}$') s
    RETURNING id INTO new.evidence_id;
  IF old.task_type = 'code' THEN
    new.status := 'awaiting_merge'; -- a claim of a merge; the forge has the last word, and the verifier that on the criteria
    new.completed_at := NULL;
  ELSE
    PERFORM juggernaut.say_verdicts(old, said);
    new.completed_at := clock_timestamp();
  END IF;
  RETURN new;
END
$$;

-- As before, and only a clause that begins with the criterion and says no more than that it is met, and why,
-- says so. The verdict keeps the clause.
CREATE OR REPLACE FUNCTION juggernaut.say_verdicts(t public.governance_tasks, said text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  met CONSTANT text := '[\s*_`"''([✅✔✓☑]*(?:(?:now|fully|also)\s+)?met(?![\w?-])';
  form CONSTANT text := '^[^[:alnum:]]*(?:[0-9]{1,3}[.)]\s+)?(?:x\]\s*)?[^[:alnum:]]*(?:acceptance\s+)?(?:criterion|ac)\s*-?#?([0-9]{1,4})(?:\s*\([^()]*\))?[\s*_`"'']*(?:[:=–—-]+>?|\mis\M)?' || met || '[*_`"'')\]!✅✔✓☑\s]*(.*)$';
  -- What may stand behind "met": nothing, a reason or a remark, and none that takes it back.
  remark CONSTANT text := '^\s*(?:$|\(|[–—-]+\s|\m(?:at|by|because|since|see|now|too|as)\M)';
  denied CONSTANT text := '^[^[:alnum:]]*(?:no[^[:alnum:]]*$|(?:not|false|untrue|if|once|but|only|except|excluding|unless|until|when|half|part|partly|partially|mostly|almost|nearly|besides|provided|assuming|though|however|in\s+part|in\s+theory|apart\s+from|as\s+(?:far|soon|long)|(?:0|none)\s+of)\M)'
    '|\m(?:in\s+part|partly|partially|except|apart\s+from|not\s+(?:yet|verified|checked|tested|run|done|fully|all|entirely|really|sure|quite)|unverified|unchecked|untested|unmet|unless|mostly|almost|nearly|pending|todo|tomorrow|later|assum(?:e|ed|ing)|should|would|probably|perhaps|maybe|hopefully)\M|\?';
  v_clause record;
  v_rest text;
  v_match text[];
  v_unmet text;
  v_told jsonb := '{}';
  v_unsaid text;
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.criteria c WHERE c.task_id = t.id) THEN
    RETURN;
  END IF;
  SELECT m[1] INTO v_unmet
    FROM regexp_matches(regexp_replace(said, '\([^()\n]*\)', ' ', 'g'), '(\mcriterion\s*#?[0-9]+\s*(?:[:=-]+(?![:=-])|\mis\M)(?!' || met || ')[\s*_`"''([]*[^\s,;.]*(?:[ ][^\s,;.]+)?'
                              '|\munmet\M|(?:\mnot|n''t)\s+(?:[a-z]+\s+)?met\M)', 'gi') AS m LIMIT 1;
  IF v_unmet IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for task %s says "%s": a task completes when each of its criteria is met', t.id, left(v_unmet, 100)),
                              'mark it as failed with an error_message, or mend it and say of each criterion N: "criterion N: met"');
  END IF;
  -- A clause says it by beginning with it: "it is false that criterion 1 is met" has the same words.
  FOR v_clause IN
    SELECT btrim(s.clause) AS said, s.clause AS words, lead(s.clause) OVER (ORDER BY s.place) AS after
      FROM regexp_split_to_table(regexp_replace(regexp_replace(said, '((?:criterion|ac)\s*#?[0-9]{1,4}[ \t*_`]*)\|[ \t]*(?=' || met || ')', '\1: ', 'gi'), '([.,;|\n])', '\1' || chr(1), 'g'), chr(1)) WITH ORDINALITY AS s (clause, place)
  LOOP
    v_rest := regexp_replace(regexp_replace(v_clause.words, '[\s.,;|]+$', ''), '^\s*(?:results?|verdicts?|status|summary|(?:acceptance\s+)?criteria)\s*:', '', 'i');
    LOOP
      v_match := CASE WHEN length(v_rest) < 2000 THEN regexp_match(v_rest, form, 'i') END;
      EXIT WHEN v_match IS NULL;
      v_rest := regexp_replace(v_match[2], '^\s*(?:and|&)\s+(?=criterion|ac)', '', 'i');
      IF v_match[2] ~* denied OR v_clause.words ~ '[,.;]$' AND v_clause.after ~* '^[^[:alnum:]\n]*(?:but|except|only|unless|partly|though|however|apart from|not)\M'
         OR v_clause.words ~ ',$' AND v_clause.after ~* denied AND v_clause.after !~* '\mcriterion\M' THEN
        v_unmet := btrim(v_clause.said || coalesce(v_clause.after, ''));
      ELSIF v_rest <> v_match[2] OR v_match[2] ~* remark THEN
        v_told := v_told || jsonb_build_object(v_match[1]::integer, left(v_clause.said, 300));
      END IF;
    END LOOP;
  END LOOP;
  v_unmet := coalesce(v_unmet, (regexp_match(said, '(?:\m(?:not|cannot|false|untrue|wrong|nobody|nothing|doubt[a-z]*|unclear|unknown|whether|unless|never|without)\M|n''t\M)[^.,:;\n]{0,80}\mcriterion\s*#?[0-9]+[^.;,\n]{0,20}\mmet\M', 'i'))[1]);
  IF v_unmet IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for task %s says "%s": that leaves open whether the criterion is met', t.id, left(v_unmet, 100)),
                              'where it is met say no more than "criterion N: met", in a clause of its own; what is not met is no completion: mark it as failed with an error_message');
  END IF;
  SELECT string_agg(format('"criterion %s: met" (%s)', c.number, left(c.text, 80)), ', ' ORDER BY c.number) INTO v_unsaid
    FROM juggernaut.criteria c WHERE c.task_id = t.id AND c.accepted_by IS NULL AND NOT v_told ? c.number::text;
  IF v_unsaid IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for task %s must state a result for each criterion; it lacks %s', t.id, v_unsaid),
                              'write these words, each in a clause of its own, where they are true; what is not met is no completion: mark the task as failed');
  END IF;
  INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source, facts)
    SELECT t.id, t.fence, c.number, 'met', CASE WHEN c.accepted_by IS NULL THEN 'self-reported' ELSE 'person' END,
           jsonb_strip_nulls(jsonb_build_object('said', v_told -> c.number::text, 'accepted_by', c.accepted_by, 'note', c.accepted_note))
      FROM juggernaut.criteria c WHERE c.task_id = t.id;
END
$$;

-- When a commit was first spoken of: a push that was written down later did not bring it.
ALTER TABLE juggernaut.checks ADD COLUMN known_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp();
UPDATE juggernaut.checks SET known_at = posted_at;

-- As before; a push counts from before anybody spoke of the commit, and over others' checks when it was done.
CREATE OR REPLACE FUNCTION juggernaut.check_post_v1(p_repo text, p_sha text, p_name text, p_passed boolean, p_details text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_by text := juggernaut.acting();
  v_person boolean := juggernaut.acting_kind() <> 'worker';
  v_task uuid;
  v_pushed boolean;
BEGIN
  IF NOT v_person THEN
    SELECT e.task_id, e.state = 'confirmed' INTO v_task, v_pushed FROM juggernaut.effects e
     WHERE e.kind = 'push' AND split_part(e.key, '@', 2) = p_sha AND starts_with(e.key, format('feature/%s@', e.task_id)) AND e.request ->> 'head' = p_sha
       AND NOT EXISTS (SELECT FROM juggernaut.checks k WHERE k.repo = p_repo AND k.sha = p_sha AND k.known_at < e.intended_at) ORDER BY e.id LIMIT 1;
    IF v_task IS NOT NULL THEN
      PERFORM juggernaut.own_pull('feature/' || v_task, NULL, 'check');
    END IF;
  END IF;
  INSERT INTO juggernaut.checks AS c (repo, sha, name, passed, details, posted_by, posted_at, by_person)
  VALUES (p_repo, p_sha, p_name, p_passed, p_details, v_by, pg_catalog.clock_timestamp(), v_person)
  ON CONFLICT (repo, sha, name) DO UPDATE
  SET passed = excluded.passed, details = excluded.details,
      posted_by = excluded.posted_by, posted_at = excluded.posted_at, by_person = excluded.by_person
  -- A worker's login writes over its own checks, and, where it holds the task that pushed the commit, over those of other workers.
  WHERE v_person OR (NOT c.by_person AND (c.posted_by = v_by OR v_pushed));
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('check %s at %s was posted by another login', left(p_name, 100), left(p_sha, 64)),
                              'a person may: SELECT report_check(repo, sha, name, passed)');
  END IF;
END
$$;

-- As before; only what waits for this is unblocked.
CREATE OR REPLACE FUNCTION public.accept_criterion(task_id uuid, number integer, note text, criterion text DEFAULT NULL) RETURNS text
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
  UPDATE public.governance_tasks x SET status = 'pending' WHERE x.id = accept_criterion.task_id AND x.status = 'blocked' AND x.waits = 0
     -- What was blocked for another reason, or for a criterion that is still open, stays so.
     AND starts_with(x.blocked_owner, format('a person: SELECT accept_criterion(%L, ', x.id))
     AND NOT EXISTS (SELECT FROM juggernaut.criteria c WHERE c.task_id = x.id AND c.accepted_by IS NULL
                        AND c.number::text = substring(x.blocked_owner FROM 'accept_criterion\(''[^'']*'', ([0-9]+),'));
  RETURN 'accepted';
END
$$;

-- As before; a check that is named with a red result is none, and a command or a place is read by somebody.
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
                OR jsonb_path_exists(p_facts, '$.checks[*] ? ((@.type() != "object" && @.type() != "string")
                     || exists (@.exit_code ? (@.type() != "number" || @ != 0)) || exists (@.failed ? (@ != 0)) || @.timed_out == true || @.passed == false || @.ok == false || @.success == false
                     || exists (@.result ? (@ like_regex "^(fail|error|unmet|red$|broken|rejected|timed out|not )" flag "i")) || exists (@.status ? (@ like_regex "^(fail|error|unmet|red$|broken|rejected|timed out|not )" flag "i"))
                     || exists (@.verdict ? (@ like_regex "^(fail|error|unmet|red$|broken|rejected|timed out|not )" flag "i")))')
           WHEN 'task_ids' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'array' OR coalesce(p_facts -> p_fact ->> 0, '') !~ '[^\s{}[\]]'
           WHEN 'tests' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'object' OR p_facts -> p_fact = '{}'
           WHEN 'location' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'string' OR coalesce(p_facts ->> p_fact, '') !~ '[^\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]'
           WHEN 'pull_url' THEN coalesce(jsonb_typeof(p_facts -> p_fact), '') <> 'string' OR coalesce(p_facts ->> p_fact, '') !~ '[^\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]'
           WHEN 'command' THEN CASE jsonb_typeof(p_facts -> p_fact) WHEN 'string' THEN (p_facts ->> p_fact) !~ '[^\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]'
                                    WHEN 'array' THEN jsonb_typeof(p_facts -> p_fact -> 0) IS DISTINCT FROM 'string' OR (p_facts -> p_fact ->> 0) !~ '[^\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]' ELSE true END
           ELSE coalesce(p_facts -> p_fact, 'null') IN ('null', '{}', '[]') OR (p_facts ->> p_fact) !~ '\S'
         END;
