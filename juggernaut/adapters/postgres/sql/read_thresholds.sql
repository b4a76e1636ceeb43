SELECT name, value::float8 AS value FROM juggernaut.thresholds
