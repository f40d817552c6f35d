-- name: find_role
-- Whether permissions restrict the role: not a superuser, and not a member of the owner role.
select rolsuper or exists (
    select from pg_class
    where relnamespace = current_schema()::regnamespace and relkind in ('r', 'S')
      and pg_has_role($1, relowner, 'member'))
from pg_roles where rolname = $1;

-- name: revoke_statements
-- Each row is a statement to run.
select format(statement, current_schema(), $1::text)
from unnest(array[
    'revoke all on schema %I from %I',
    'revoke all on all tables in schema %I from %I',
    'revoke all on all sequences in schema %I from %I',
    'grant usage on schema %I to %I']) statement;

-- name: grant_statements
-- $2 tables, $3 the permissions on each; $4 sequences. Each row is a statement to run.
select format('grant %s on table %I to %I', rights, name, $1::text)
from unnest($2::text[], $3::text[]) wanted (name, rights)
union all
select format('grant usage on sequence %I to %I', name, $1::text) from unnest($4::text[]) name;

-- name: may_create
select has_schema_privilege($1, current_schema(), 'create');

-- name: find_missing_rights
-- Of tables $1 and permissions $2 (pairs), those that we lack. A permission on one column counts.
select format('%s on %s', right_name, name)
from unnest($1::text[], $2::text[]) wanted (name, right_name)
where not case when right_name = 'delete' then has_table_privilege(name, right_name)
               else has_any_column_privilege(name, right_name) end
order by name, right_name;
