-- expand: the place of each message in its answer, since an outage may bring a later message first

ALTER TABLE tickertape.answers ADD COLUMN place integer;
