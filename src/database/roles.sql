-- Countersign's three roles. Run once, in a database of Countersign's own, as a role that may create roles and owns the
-- database; running it again changes nothing:
--
--     countersign migrate --print-roles | psql -v ON_ERROR_STOP=1 postgres://admin@host/countersign
--
-- Then give each role a password in psql (\password countersign_owner, \password countersign_app, \password
-- countersign_reader), or log in by other means, and set
--
--     COUNTERSIGN_DATABASE_OWNER_URL    countersign_owner: runs migrations, owns everything, serves nothing
--     DATABASE_URL                      countersign_app: serves; reads records, appends them, changes none
--     COUNTERSIGN_DATABASE_READER_URL   countersign_reader: verifies and exports

do $roles$
declare
    role text;
begin
    foreach role in array array['countersign_owner', 'countersign_app', 'countersign_reader'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = role) then
            execute format('create role %I login', role);
        end if;
    end loop;
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect, create on database %I to countersign_owner', current_database());
    execute format('grant connect on database %I to countersign_app, countersign_reader', current_database());
    revoke create on schema public from public;
    grant usage, create on schema public to countersign_owner;
    grant usage on schema public to countersign_app, countersign_reader;
    if not has_database_privilege('countersign_owner', current_database(), 'CREATE')
        or not has_schema_privilege('countersign_owner', 'public', 'CREATE') then
        raise exception 'role % may not grant on database %: run this as the role that owns the database',
            current_user, current_database();
    end if;
end
$roles$;
