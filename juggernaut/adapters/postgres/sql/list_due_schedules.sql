SELECT name, cron, time_zone, scheduled_at, first FROM juggernaut.due_schedules_v1()
