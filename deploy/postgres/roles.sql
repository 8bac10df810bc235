-- Runs once, on an empty volume: a role and a database per service, closed to one another.
\set auth_password `cat /run/secrets/auth_database_password`
\set tasks_password `cat /run/secrets/tasks_database_password`
CREATE ROLE auth LOGIN PASSWORD :'auth_password';
CREATE ROLE tasks LOGIN PASSWORD :'tasks_password';
CREATE DATABASE auth OWNER auth;
CREATE DATABASE tasks OWNER tasks;
REVOKE CONNECT ON DATABASE auth FROM PUBLIC;
REVOKE CONNECT ON DATABASE tasks FROM PUBLIC;
