SELECT juggernaut.handle_news_v1($1, $2, $3, $4, $5)
