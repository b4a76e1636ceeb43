SELECT * FROM (SELECT * FROM juggernaut.pull_comments WHERE number = $1 AND key IS NULL ORDER BY id DESC LIMIT 100) newest ORDER BY id
