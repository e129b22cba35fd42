"""What several processes of one service share, in Redis: who is where, who was told what, what strangers did."""
