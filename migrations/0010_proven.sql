-- With what a session's person proved who they are when they last did: a second factor's name, `password`, `setup`, `invite`,
-- or `sso:<provider>`. Not the same as `factor`, which a later and weaker proof does not take away.
alter table portal.session
    add column proven_by text;

-- Whether the record of the decision holds fresh proof of who decided. Asked again before each send: the gate may have been
-- marked meanwhile.
alter table portal.decision
    add column proven boolean not null default false;
