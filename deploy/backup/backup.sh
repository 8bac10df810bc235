#!/bin/sh
# usage: backup.sh FOLDER      writes FOLDER/tasklane-<time>.tar and prints its path
#        backup.sh -           writes the archive to standard output
# Dumps the databases of AUTH_DATABASE_URL and TASKS_DATABASE_URL (or of the files that these names
# with _FILE say), each as one consistent snapshot. KEEP is how many archives stay, 14 by default.
set -eu
umask 077
folder=${1:?usage: backup.sh FOLDER}
keep=${KEEP:-14}
for tools in /usr/lib/postgresql/*/bin; do PATH=$PATH:$tools; done

url() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$file" ]; then value=$(cat "$file"); fi
    if [ -z "$value" ]; then echo "backup: set $1 or $1_FILE" >&2; exit 78; fi
    printf '%s' "$value"
}

work=$(mktemp -d)
part=
trap 'rm -rf "$work" ${part:+"$part"}' EXIT
trap 'exit 1' HUP INT TERM
for name in auth tasks; do
    variable=$(printf '%s_DATABASE_URL' "$name" | tr a-z A-Z)
    address=$(url "$variable")
    pg_dump --format=custom --no-owner --no-privileges --file="$work/$name.dump" --dbname="$address"
    # A dump that cannot be listed cannot be restored either.
    pg_restore --list "$work/$name.dump" > /dev/null
done
(cd "$work" && sha256sum auth.dump tasks.dump > SHA256SUMS)

# The databases remember when, so that their services can say how old the last backup is. Who may
# not write it down still has the backup.
remember() {
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    for name in auth tasks; do
        address=$(url "$(printf '%s_DATABASE_URL' "$name" | tr a-z A-Z)")
        printf "SELECT format('COMMENT ON DATABASE %%I IS %%L', current_database(), '%s') \\gexec\n" \
            "last backup $now" | psql --quiet --no-psqlrc --tuples-only --set ON_ERROR_STOP=1 \
            --dbname="$address" > /dev/null || echo "backup: $name does not remember it" >&2
    done
}

if [ "$folder" = - ]; then
    tar -cf - -C "$work" SHA256SUMS auth.dump tasks.dump
    remember
    exit
fi

# The name appears only when the archive is whole and on the disk.
archive=$folder/tasklane-$(date -u +%Y%m%dT%H%M%SZ).tar
part=$archive.part
tar -cf "$part" -C "$work" SHA256SUMS auth.dump tasks.dump
sync
mv "$part" "$archive"
part=
remember

ls -1 "$folder"/tasklane-*.tar | sort -r | tail -n "+$((keep + 1))" | while read -r old; do rm -f "$old"; done
echo "$archive"
