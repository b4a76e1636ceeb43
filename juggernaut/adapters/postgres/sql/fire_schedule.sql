SELECT juggernaut.fire_schedule_v1($1, $2, $3) AS landed
