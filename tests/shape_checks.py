"""Checks the annotations of the library while the tests run; an int passes for a float, as with static checkers."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
