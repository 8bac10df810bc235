#!/bin/sh
# usage: restore.sh ARCHIVE    (- is standard input) puts an archive of backup.sh into AUTH_DATABASE_URL and TASKS_DATABASE_URL
# Each database is restored in one transaction: all of it, or nothing. A database that holds tables is
# refused unless REPLACE=yes, which drops what is there in that same transaction.
set -eu
umask 077
archive=${1:?usage: restore.sh ARCHIVE}
for tools in /usr/lib/postgresql/*/bin; do PATH=$PATH:$tools; done

url() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$file" ]; then value=$(cat "$file"); fi
    if [ -z "$value" ]; then echo "restore: set $1 or $1_FILE" >&2; exit 78; fi
    printf '%s' "$value"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
tar -xf "$archive" -C "$work" SHA256SUMS auth.dump tasks.dump
(cd "$work" && sha256sum -c SHA256SUMS > /dev/null) || { echo "restore: $archive is damaged" >&2; exit 1; }
auth=$(url AUTH_DATABASE_URL)
tasks=$(url TASKS_DATABASE_URL)

# Both are looked at before either is touched.
for address in "$auth" "$tasks"; do
    tables=$(psql --no-psqlrc -XAtq --dbname="$address" -c \
        "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
    if [ "$tables" != 0 ] && [ "${REPLACE:-no}" != yes ]; then
        echo "restore: a database already holds $tables tables; REPLACE=yes drops them" >&2
        exit 1
    fi
done
for name in auth tasks; do
    eval "address=\$$name"
    {
        echo 'DROP SCHEMA public CASCADE; CREATE SCHEMA public;'
        pg_restore --no-owner --no-privileges --file=- "$work/$name.dump"
    } > "$work/$name.sql"
    # A pipe would hide a pg_restore that broke off: the file is whole before it is played.
    psql --no-psqlrc -Xq --single-transaction --set=ON_ERROR_STOP=1 --dbname="$address" \
        --file="$work/$name.sql" > /dev/null
    rm -f "$work/$name.sql"
done
echo "restored $archive"
