"""One client attacks, others must not notice: stage.py judges, cases_*.py attack, pinger.py is the client beside."""
