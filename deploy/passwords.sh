#!/bin/sh
# Run once by the Postgres image, after the roles were made: gives each role the password of deploy/.env.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres -d countersign \
  -v owner="$COUNTERSIGN_OWNER_PASSWORD" -v app="$COUNTERSIGN_APP_PASSWORD" -v reader="$COUNTERSIGN_READER_PASSWORD" <<'SQL'
alter role countersign_owner password :'owner';
alter role countersign_app password :'app';
alter role countersign_reader password :'reader';
SQL
